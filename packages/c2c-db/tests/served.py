"""The application that test_workers serves with gunicorn; its settings come from the environment."""

import json
import os
from typing import Any

from pyramid.config import Configurator
from sqlalchemy import func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from c2c_db import setup_session, use_primary


class Base(DeclarativeBase):
    """The base of the models."""


class Note(Base):
    """One row."""

    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def application() -> Any:
    """Return the WSGI application; with SERVED_WARM it has used both engines already, which is before the fork."""
    config = Configurator(settings=json.loads(os.environ["SERVED_SETTINGS"]))
    session, _, _ = setup_session(config, "sqlalchemy", "sqlalchemy_slave")

    def read(_request: Any) -> dict[str, Any]:
        return {
            "count": session.scalar(select(func.count()).select_from(Note)),
            "server": "replica" if session.scalar(text("SELECT pg_is_in_recovery()")) else "primary",
            "pid": os.getpid(),
        }

    def write(_request: Any) -> dict[str, Any]:
        session.add(Note(text="x"))
        session.flush()
        return {"pid": os.getpid()}

    config.add_route("notes", "/notes")
    config.add_view(read, route_name="notes", renderer="json", request_method="GET")
    config.add_view(write, route_name="notes", renderer="json", request_method="POST")
    if "SERVED_WARM" in os.environ:
        with use_primary():
            session.scalar(text("SELECT 1"))
            session.remove()
        with session.c2c_ro_bind.connect() as connection:
            connection.scalar(text("SELECT 1"))
        session.database.replica_states()
    return config.make_wsgi_app()
