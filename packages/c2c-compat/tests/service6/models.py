"""The tables."""

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """Of all."""


class Hello(Base):
    """Says which database it is."""

    __tablename__ = "hello"
    id = sa.Column(sa.Integer, primary_key=True)
    value = sa.Column(sa.Text, unique=True)


class Gauge(Base):
    """Has nothing to do with the other."""

    __tablename__ = "gauge"
    id = sa.Column(sa.Integer, primary_key=True)
