"""One table, on the primary and its replica."""

from typing import Any

from pyramid.config import Configurator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session

import c2c_meta as c2c

_KEY = "acceptance_app.session"


class Base(DeclarativeBase):
    """The base of the models."""


class Hello(Base):
    """A greeting."""

    __tablename__ = "hello"

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(unique=True)


def setup(config: Configurator) -> None:
    """Connect to the databases, and watch them."""
    session, _, _ = c2c.setup_session(config, "sqlalchemy", "sqlalchemy_slave")
    config.registry[_KEY] = session
    config.add_request_method(lambda request: request.registry[_KEY](), "hello_session", reify=True)
    health_check = c2c.HealthCheck(config)
    health_check.add_db_session_check(session, at_least_one_model=Hello)
    health_check.add_alembic_check(session, config.get_settings()["alembic.ini"])


def session_of(request: Any) -> scoped_session[Any]:
    """Return the session of this request: on the replica or the primary, as its method says."""
    session: scoped_session[Any] = request.hello_session
    return session
