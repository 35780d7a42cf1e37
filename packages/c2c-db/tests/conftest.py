"""Applications round the package, on real databases."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyramid.config import Configurator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from webtest import TestApp

from c2c_db import RunningDatabase, databases
from c2c_testing.servers import PostgresPair


class Base(DeclarativeBase):
    """The base of the test's models."""


class Note(Base):
    """One row, to be seen or not."""

    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Service:
    """A Pyramid application under test, and its databases."""

    def __init__(self, config: Configurator) -> None:
        self.config = config
        self.app = TestApp(config.make_wsgi_app())

    @property
    def database(self) -> RunningDatabase:
        """The first database."""
        return next(iter(databases(self.config.registry).values()))


@pytest.fixture
def new_service() -> Iterator[Callable[..., Service]]:
    """Give a function that makes an application: ``new_service(set_up, **settings)``."""
    services: list[Service] = []

    def make(set_up: Callable[[Configurator], None], route_prefix: str | None = None, **settings: Any) -> Service:
        config = Configurator(settings=settings, route_prefix=route_prefix)
        config.include("c2c_db")
        set_up(config)
        service = Service(config)
        services.append(service)
        return service

    yield make
    for service in services:
        for database in databases(service.config.registry).values():
            database.close()


@pytest.fixture
def pair(postgres_pair: PostgresPair) -> Iterator[PostgresPair]:
    """Give the primary and its replica with an empty table ``note``, and bring both back after the test."""
    postgres_pair.primary.execute("CREATE TABLE IF NOT EXISTS note (id serial PRIMARY KEY, text text NOT NULL)")
    postgres_pair.primary.execute("TRUNCATE note RESTART IDENTITY")
    postgres_pair.wait_caught_up()
    yield postgres_pair
    postgres_pair.restore()
