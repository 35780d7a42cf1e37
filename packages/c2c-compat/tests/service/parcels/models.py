"""The database, in a global as it was done."""

from sqlalchemy import Column, Integer, Text
from sqlalchemy.orm import declarative_base

import c2cwsgiutils.db

Base = declarative_base()
DBSession = None


class Parcel(Base):
    """A piece of land."""

    __tablename__ = "parcel"
    __table_args__ = ({"schema": "parcels"},)

    id = Column(Integer, primary_key=True)
    owner = Column(Text, nullable=False)


def init(config):
    """Set the global up."""
    global DBSession
    DBSession, _, _ = c2cwsgiutils.db.setup_session(
        config, "sqlalchemy", "sqlalchemy_slave", force_slave=["POST /api/echo"]
    )
