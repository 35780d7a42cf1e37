"""What a request costs with everything on, beside its peers. Run: ``python -m benchmarks request``.

Each contender is a process of its own, because most of them patch libraries; they take turns, round by round, and what
counts is the processor time of all their threads. In process: from WSGI's environ to the last byte of the body, no
socket. Bars (issue 12): a request of c2c-meta with everything on is 1.067 of the base's, then below it; each SQL
statement 6 us more.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._case import Case, Measured, alternate
from benchmarks._statsd_reader import statsd_reader
from benchmarks._table import show

BARE = "Pyramid"
BASE = "Pyramid, pyramid_tm, cornice"
WHOLE = "c2c-meta, everything on"
OPEN_TELEMETRY = "base + OpenTelemetry"
_CONTENDERS = (WHOLE, BASE, OPEN_TELEMETRY, BARE)
_COUNTS = {"ping": 200, "service": 200, "sql": 10}
_STATEMENTS = 50
_MOST = 1.067
_ROUNDS = 60


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Case]:
    """Ask for a view, for a service of cornice, and for fifty SQL statements."""
    with statsd_reader() as port:
        served = {name: _Served(name, port) for name in _CONTENDERS}
        try:
            taken = {
                kind: alternate(
                    {name: partial(one.ask, kind) for name, one in served.items() if kind in _kinds(name)}, _ROUNDS
                )
                for kind in _COUNTS
            }
        finally:
            for one in served.values():
                one.close()
    yield _case("a request: JSON view, everything on", taken["ping"], _MOST)
    yield _case("a request: service of cornice, everything on", taken["service"], _MOST)
    statements = {name: _statement(taken["sql"][name], taken["ping"][name]) for name in taken["sql"]}
    more = statements[WHOLE].median - statements[BASE].median
    note = f"{more:+.1f} us over the base; bar: 6 where its request takes 75"
    yield replace(_case("a SQL statement, of 50 in a request", statements), note=note)


def _case(title: str, found: dict[str, Measured], most: float | None = None) -> Case:
    others = tuple(one.bar(most=most) if name == BASE else one for name, one in found.items() if name != WHOLE)
    return Case(title, "us", found[WHOLE], others)


def _statement(many: Measured, none: Measured) -> Measured:
    over = many.over(none)
    return replace(over, samples=tuple(one / _STATEMENTS for one in over.samples))


def _kinds(name: str) -> tuple[str, ...]:
    return ("ping",) if name == BARE else tuple(_COUNTS)


class _Served:
    """A contender in its process, which makes so many requests when asked."""

    def __init__(self, name: str, port: int) -> None:
        command = [sys.executable, "-m", "benchmarks.request", name, str(port)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        for kind in _kinds(name):
            self.ask(kind)

    def ask(self, kind: str) -> float:
        """Return the microseconds of processor time that a request took."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{kind} {_COUNTS[kind]}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline()) / _COUNTS[kind] * 1e6

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
    if name == WHOLE:
        return _whole(port)
    if name == OPEN_TELEMETRY:
        from opentelemetry.instrumentation.pyramid import PyramidInstrumentor
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
        from opentelemetry.sdk.trace import TracerProvider

        SQLAlchemyInstrumentor().instrument(tracer_provider=TracerProvider(), skip_dep_check=True)
        PyramidInstrumentor().instrument(tracer_provider=TracerProvider())
    return _other(with_base=name != BARE)


def _ping(_request: Any) -> dict[str, str]:
    return {"hello": "world"}


def _selects(session_of: Callable[[Any], Any]) -> Callable[[Any], dict[str, int]]:
    from sqlalchemy import text

    statement = text("SELECT 1")

    def view(request: Any) -> dict[str, int]:
        session = session_of(request)
        return {"sum": sum(session.execute(statement).scalar() for _ in range(_STATEMENTS))}

    return view


def _add_views(config: Any, session_of: Callable[[Any], Any] | None) -> None:
    config.add_route("ping", "/ping")
    config.add_view(_ping, route_name="ping", renderer="json", request_method="GET")
    if session_of is not None:
        config.add_route("sql", "/sql")
        config.add_view(_selects(session_of), route_name="sql", renderer="json", request_method="GET")


def _other(*, with_base: bool) -> Any:
    from pyramid.config import Configurator

    config = Configurator()
    if not with_base:
        _add_views(config, None)
        return config.make_wsgi_app()

    from cornice import Service
    from sqlalchemy import create_engine
    from sqlalchemy.orm import sessionmaker
    from zope.sqlalchemy import register

    config.include("pyramid_tm")
    config.include("cornice")
    sessions = sessionmaker(create_engine("sqlite://"))
    register(sessions)
    config.add_request_method(lambda _request: sessions(), "dbsession", reify=True)
    _add_views(config, lambda request: request.dbsession)
    service = Service("service", "/service", cors_origins="*", cors_max_age=86400, http_cache=0, renderer="json")
    service.add_view("GET", _ping)
    config.add_cornice_service(service)
    return config.make_wsgi_app()


def _whole(port: int) -> Any:
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
            "c2c.sql_profiler_enabled": "true",
            "c2c.db_maintenance_view_enabled": "true",
            "sqlalchemy.url": "sqlite://",
        }
    )
    config.include("c2c_meta")
    c2c.db.init(config)
    _add_views(config, lambda request: request.dbsession)
    service = c2c.rest.services.create("service", "/service")
    service.add_view("GET", _ping)
    config.add_cornice_service(service)
    return config.make_wsgi_app()


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(sys.argv[1], int(sys.argv[2]))
    else:
        main()
