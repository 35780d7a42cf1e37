"""Applications round the package, on real databases."""

import contextlib
import gc
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pyramid.config import Configurator
from sqlalchemy import func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from webtest import TestApp

from c2c_broadcast.process import service_folder
from c2c_db import Decided, RunningDatabase, State, databases, init
from c2c_db._database import application_of
from c2c_testing.servers import PostgresPair

# No test asserts a duration, Hypothesis's neither: a busy machine takes its time.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


class Base(DeclarativeBase):
    """The base of the test's models."""


class Note(Base):
    """One row, to be seen or not."""

    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    """Let each test hear what is said once a service."""
    shutil.rmtree(service_folder("said"))


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what a test leaves to the collector, when all of it is closed: not in the middle of another test."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("c2c_db"):  # of what is closed: it ends soon
            thread.join(10)
    gc.collect()


@pytest.fixture
def note() -> type[Note]:
    """Give the mapped class."""
    return Note


class Service:
    """A Pyramid application under test, and its databases."""

    def __init__(self, config: Configurator) -> None:
        self.config = config
        self._events: list[Any] = []
        config.add_db_observer(self._events.append)
        self.app = TestApp(config.make_wsgi_app())

    @property
    def database(self) -> RunningDatabase:
        """The first database."""
        return next(iter(databases(self.config.registry).values()))

    @property
    def decisions(self) -> "Counter[tuple[str, str]]":
        """How often an (engine, reason) was chosen."""
        return Counter((event.engine, event.reason) for event in self._events if isinstance(event, Decided))

    @property
    def replica_state(self) -> State:
        """The state of its only replica."""
        [status] = self.database.replica_states()
        return status.state


@pytest.fixture(params=["psycopg2", "psycopg"])
def driver(request: pytest.FixtureRequest) -> str:
    """Give each of the two drivers."""
    return str(request.param)


@pytest.fixture
def urls(pair: PostgresPair) -> Callable[..., dict[str, str]]:
    """Give a function that returns the settings for the pair: ``urls(driver=None, **more)``."""

    def make(driver: str | None = None, **more: str) -> dict[str, str]:
        scheme = f"postgresql+{driver}:" if driver else "postgresql:"
        both = {"sqlalchemy.url": pair.primary.url, "sqlalchemy_slave.url": pair.replica.url}
        return {key: url.replace("postgresql:", scheme) for key, url in both.items()} | more

    return make


@pytest.fixture
def urls_of_role(pair: PostgresPair, urls: Callable[..., dict[str, str]]) -> Iterator[Callable[[str], dict[str, str]]]:
    """Give a function that makes a user of the tables, and returns its settings: ``urls_of_role(name)``."""
    made: list[str] = []

    def make(name: str) -> dict[str, str]:
        pair.primary.execute(f"DROP ROLE IF EXISTS {name}")
        pair.primary.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}-p4ssword'")
        made.append(name)
        pair.primary.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        pair.primary.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}")
        pair.wait_caught_up()
        login = f"{pair.primary.user}:{pair.primary.password}"
        return {key: url.replace(login, f"{name}:{name}-p4ssword") for key, url in urls().items()}

    yield make
    for name in made:
        pair.primary.execute(f"DROP OWNED BY {name}")
        pair.primary.execute(f"DROP ROLE {name}")


@pytest.fixture
def notes() -> Callable[[Configurator], None]:
    """Give what sets a small service up: GET /notes counts on its side, POST /notes adds one, GET /bad writes."""

    def where(session: Any) -> str:
        return "replica" if session.scalar(text("SELECT pg_is_in_recovery()")) else "primary"

    def read(request: Any) -> dict[str, Any]:
        session = request.dbsession
        return {"count": session.scalar(select(func.count()).select_from(Note)), "server": where(session)}

    def write(request: Any) -> dict[str, Any]:
        note = Note(text=request.params.get("text", "x"))
        request.dbsession.add(note)
        request.dbsession.flush()
        return {"id": note.id, "server": where(request.dbsession)}

    def set_up(config: Configurator) -> None:
        init(config, "sqlalchemy", "sqlalchemy_slave")
        config.add_route("notes", "/notes")
        config.add_route("bad", "/bad")
        config.add_view(read, route_name="notes", renderer="json", request_method=("GET", "HEAD"))
        config.add_view(write, route_name="notes", renderer="json", request_method="POST")
        config.add_view(write, route_name="bad", renderer="json")

    return set_up


@pytest.fixture
def until() -> Callable[..., None]:
    """Give a function that waits until something is so, and fails when it is not in (many) seconds."""

    def wait(done: Callable[[], Any], seconds: float = 40.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            time.sleep(0.02)

    return wait


@pytest.fixture
def new_service(until: Callable[..., None]) -> Iterator[Callable[..., Service]]:
    """Give a function that makes an application: ``new_service(set_up, **settings)``.

    It waits until each replica is known to be there or not, as a loaded machine takes its time, unless ``known=False``.
    """
    services: list[Service] = []

    def make(
        set_up: Callable[[Configurator], None], route_prefix: str | None = None, *, known: bool = True, **settings: Any
    ) -> Service:
        config = Configurator(settings=settings, route_prefix=route_prefix)
        config.include("c2c_db")
        set_up(config)
        service = Service(config)
        services.append(service)
        for database in databases(config.registry).values() if known else ():
            until(lambda database=database: all(one.state is not State.UNKNOWN for one in database.replica_states()))
        return service

    yield make
    for service in services:
        application_of(service.config.registry).maintenance.state.close()
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


@pytest.fixture
def eighty(pair: PostgresPair, urls: Callable[..., dict[str, str]]) -> Callable[[], dict[str, str]]:
    """Give a function that returns the settings for pg8000, which refuses the cheap passwords of the tests' servers."""

    def make() -> dict[str, str]:
        pair.primary.execute("DROP ROLE IF EXISTS eighty")
        with contextlib.closing(pair.primary.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SET scram_iterations = 4096; CREATE ROLE eighty SUPERUSER LOGIN PASSWORD 'eighty-p4ssword'")
            connection.commit()
        pair.wait_caught_up()
        login = f"{pair.primary.user}:{pair.primary.password}"
        return {key: url.replace(login, "eighty:eighty-p4ssword") for key, url in urls("pg8000").items()}

    return make
