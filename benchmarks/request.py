"""What a request costs with everything on, and with each package alone. Run: ``python -m benchmarks request``.

Each contender is a process of its own, because most of them patch libraries; they take turns, round by round, and what
counts is the processor time of all their threads. In process: from WSGI's environ to the last byte of the body, no
socket. Bars: issue 26.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._case import Case, Growth, Measured, alternate
from benchmarks._statsd_reader import statsd_reader
from benchmarks._table import Found, show

BARE = "Pyramid"
BASE = "Pyramid, pyramid_tm, cornice"
WHOLE = "c2c-meta, everything on"
OPEN_TELEMETRY = "base + OpenTelemetry"
_OWN = ", properties of its own"
BASE_OWN, WHOLE_OWN = BASE + _OWN, WHOLE + _OWN
_NO_DATABASE = ", no database"
BASE_NO_DATABASE, WHOLE_NO_DATABASE = BASE + _NO_DATABASE, WHOLE + _NO_DATABASE
ALONE = {
    "c2c-health alone": 1.05,
    "c2c-rest alone": 1.05,
    "c2c-debug alone": 1.05,
    "c2c-sentry alone": 1.05,
    "c2c-logging alone": 1.12,
    "c2c-stats alone": 1.2,
}
"""The bar of each beside Pyramid."""
TITLES = {"ping": "a request: JSON view, everything on", "service": "a request: service of cornice, everything on"}
_OWN_TITLE = "the same, with properties of the application's own"
_STATEMENTS = {"sql": 50, "sql2000": 2_000}
_COUNTS = {"ping": 200, "service": 200, "sql": 10, "sql2000": 1}
_ROUNDS = 40
_ROUTES = (1, 10, 100)


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Found]:
    """Ask for a view, for a service of cornice, for SQL statements, for the last of many routes."""
    with served(BARE, *ALONE) as (bare, *alone):
        for name, one in zip(ALONE, alone, strict=True):
            found = alternate({name: partial(one.ask, "ping"), BARE: partial(bare.ask, "ping")}, _ROUNDS)
            yield Case("a request: one package", "us", found[name], (found[BARE].bar(most=ALONE[name]),))
    names = (WHOLE, BASE, WHOLE_OWN, BASE_OWN, OPEN_TELEMETRY)
    with served(*names) as found_contenders:
        of = dict(zip(names, found_contenders, strict=True))
        for kind, title in TITLES.items():
            taken = alternate({name: partial(of[name].ask, kind) for name in (WHOLE, BASE, OPEN_TELEMETRY)}, _ROUNDS)
            yield _case(title, taken, WHOLE, {BASE: 0.8})
            taken = alternate({name: partial(of[name].ask, kind) for name in (WHOLE_OWN, BASE_OWN)}, _ROUNDS)
            yield _case(_OWN_TITLE, taken, WHOLE_OWN, {BASE_OWN: 1.06})
        for kind, count in _STATEMENTS.items():
            asked = {name: _statement(of[name], kind, count) for name in (WHOLE, BASE, OPEN_TELEMETRY)}
            yield _case(f"a SQL statement, of {count:,} in a request", alternate(asked, _ROUNDS), WHOLE, {BASE: 1.1})
        for name in (WHOLE, BASE):
            taken = alternate({str(n): partial(of[name].ask, f"route{n}") for n in _ROUTES}, _ROUNDS)
            points = tuple((n, taken[str(n)].median) for n in _ROUTES)
            yield Growth(f"a request of the last of so many routes: {name}", "routes", "us", points)


def _case(title: str, found: dict[str, Measured], ours: str, bars: dict[str, float]) -> Case:
    others = tuple(one.bar(most=bars.get(name)) for name, one in found.items() if name != ours)
    return Case(title, "us", replace(found[ours], name=ours), others)


def _statement(one: "Contender", kind: str, count: int) -> Callable[[], float]:
    """Return a contender that gives microseconds a statement: over a request that has none."""
    return lambda: (one.ask(kind) - one.ask("ping")) / count


class served(ExitStack):  # noqa: N801 # used as a function
    """The contenders named, each in a process of its own, until the block ends."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self._names = names

    def __enter__(self) -> list["Contender"]:  # type: ignore[override] # what is wanted of it
        super().__enter__()
        port = self.enter_context(statsd_reader())
        return [self.enter_context(closing(Contender(name, port))) for name in self._names]


class Contender:
    """A contender in its process, which makes so many requests when asked; ``under`` is the program to run it under."""

    def __init__(self, name: str, port: int, under: tuple[str, ...] = ()) -> None:
        command = [*under, sys.executable, "-m", "benchmarks.request", name, str(port)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        self.pid = self._process.pid
        self.ask("ping", 5)

    def ask(self, kind: str, count: int = 0) -> float:
        """Return the microseconds of processor time that a request took, of ``count``."""
        assert self._process.stdin
        assert self._process.stdout
        count = count or _COUNTS.get(kind, 200)
        self._process.stdin.write(f"{kind} {count}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline()) / count * 1e6

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


# -- in a contender's process ------------------------------------------------------------------------------------------


def serve(name: str, port: int) -> None:
    """Make the requests that standard input asks for."""
    application = make(name, port)
    for line in sys.stdin:
        kind, count = line.split()
        print(spend(application, f"/{kind}", int(count)), flush=True)


def spend(application: Any, path: str, count: int) -> float:
    """Return the seconds of processor time that so many requests take."""
    from pyramid.request import Request

    environ = Request.blank(path).environ

    def start_response(status: str, _headers: list[tuple[str, str]]) -> None:
        assert status == "200 OK"

    begin = time.process_time()
    for _ in range(count):
        for _chunk in application(dict(environ), start_response):
            pass
    return time.process_time() - begin


def make(name: str, port: int = 0) -> Any:
    """Return the application of a contender."""
    if name.startswith(WHOLE):
        return _whole(port, own=name == WHOLE_OWN, database=name != WHOLE_NO_DATABASE)
    if name in ALONE:
        return _alone(name.removesuffix(" alone").replace("-", "_"), port)
    if name == OPEN_TELEMETRY:
        from opentelemetry.instrumentation.pyramid import PyramidInstrumentor
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
        from opentelemetry.sdk.trace import TracerProvider

        SQLAlchemyInstrumentor().instrument(tracer_provider=TracerProvider(), skip_dep_check=True)
        PyramidInstrumentor().instrument(tracer_provider=TracerProvider())
    return _other(with_base=name != BARE, own=name == BASE_OWN, database=name != BASE_NO_DATABASE)


def _alone(package: str, port: int) -> Any:
    from pyramid.config import Configurator

    settings = {"c2c.statsd_address": f"127.0.0.1:{port}", "c2c.secret": "a secret that nobody guesses"}
    config = Configurator(settings=settings)
    config.include(package)
    _add_views(config, None)
    return config.make_wsgi_app()


def _ping(_request: Any) -> dict[str, str]:
    return {"hello": "world"}


def _sleep(_request: Any) -> dict[str, str]:
    time.sleep(60)
    return {}


def _selects(session_of: Callable[[Any], Any], count: int) -> Callable[[Any], dict[str, int]]:
    from sqlalchemy import text

    statement = text("SELECT 1")

    def view(request: Any) -> dict[str, int]:
        session = session_of(request)
        return {"sum": sum(session.execute(statement).scalar() for _ in range(count))}

    return view


def _add_views(config: Any, session_of: Callable[[Any], Any] | None) -> None:
    config.add_route("ping", "/ping")
    config.add_view(_ping, route_name="ping", renderer="json", request_method="GET")
    config.add_route("sleep", "/sleep")
    config.add_view(_sleep, route_name="sleep", renderer="json")
    if session_of is not None:
        for kind, count in _STATEMENTS.items():
            config.add_route(kind, f"/{kind}")
            config.add_view(_selects(session_of, count), route_name=kind, renderer="json", request_method="GET")
        for number in range(1, max(_ROUTES) + 1):
            config.add_route(f"route{number}", f"/route{number}")
            config.add_view(_ping, route_name=f"route{number}", renderer="json", request_method="GET")


def _add_own(config: Any) -> None:
    """Add properties, as applications do; Pyramid then makes a class of each request."""
    config.add_request_method(lambda _request: "somebody", "user_name", property=True)
    config.add_request_method(lambda _request: {"language": "fr"}, "preferences", reify=True)


def _other(*, with_base: bool, own: bool, database: bool) -> Any:
    from pyramid.config import Configurator

    config = Configurator()
    if not with_base:
        _add_views(config, None)
        return config.make_wsgi_app()

    from cornice import Service

    config.include("pyramid_tm")
    config.include("cornice")
    if database:
        from sqlalchemy import create_engine
        from sqlalchemy.orm import sessionmaker
        from zope.sqlalchemy import register

        sessions = sessionmaker(create_engine("sqlite://"))
        register(sessions)
        config.add_request_method(lambda _request: sessions(), "dbsession", reify=True)
    if own:
        _add_own(config)
    _add_views(config, (lambda request: request.dbsession) if database else None)
    service = Service("service", "/service", cors_origins="*", cors_max_age=86400, http_cache=0, renderer="json")
    service.add_view("GET", _ping)
    config.add_cornice_service(service)
    return config.make_wsgi_app()


def _whole(port: int, *, own: bool, database: bool) -> Any:
    from pyramid.config import Configurator

    import c2c_meta as c2c

    config = Configurator(
        settings={
            "c2c.statsd_address": f"127.0.0.1:{port}",
            "c2c.statsd_use_tags": "true",
            "c2c.stats_view": "true",
            "c2c.secret": "a secret that nobody guesses",
            "c2c.log_view_enabled": "true",
            "c2c.debug_view_enabled": "true",
            **(
                {
                    "c2c.db_maintenance_view_enabled": "true",
                    "c2c.sql_profiler_enabled": "true",
                    "sqlalchemy.url": "sqlite://",
                }
                if database
                else {"c2c.exclude": "c2c_db"}
            ),
        }
    )
    config.include("c2c_meta")
    if database:
        c2c.db.init(config)
    if own:
        _add_own(config)
    _add_views(config, (lambda request: request.dbsession) if database else None)
    service = c2c.rest.services.create("service", "/service")
    service.add_view("GET", _ping)
    config.add_cornice_service(service)
    return config.make_wsgi_app()


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(sys.argv[1], int(sys.argv[2]))
    else:
        main()
