"""What a request costs with everything on, and with each package alone. Run: ``python -m benchmarks request``.

Each contender is a process of its own, because most of them patch libraries; they take turns, round by round, and what
counts is the processor time of all their threads. In process: from WSGI's environ to the last byte of the body, no
socket. Bars: issue 26.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from benchmarks._case import Found, Growth, measured

if TYPE_CHECKING:
    from benchmarks._servers import Asked

BARE = "Pyramid"
BASE = "Pyramid, pyramid_tm, cornice"
WHOLE = "c2c-meta, everything on"
OPEN_TELEMETRY = "base + OpenTelemetry"
OWN = ", properties of its own"
NO_DATABASE = ", no database"
ALONE = {
    "c2c-health alone": 1.05,
    "c2c-rest alone": 1.05,
    "c2c-debug alone": 1.05,
    "c2c-sentry alone": 1.05,
    "c2c-logging alone": 1.12,
    "c2c-stats alone": 1.2,
}
"""The bar of each beside Pyramid."""
ASKED = (
    *(("one package", "ping", name, {BARE: bar}) for name, bar in ALONE.items()),
    ("JSON view, everything on", "ping", WHOLE, {BASE: 0.8}),
    ("JSON view, properties of its own", "ping", WHOLE + OWN, {BASE + OWN: 1.06}),
    ("service of cornice, everything on", "service", WHOLE, {BASE: 0.8}),
    ("service of cornice, properties of its own", "service", WHOLE + OWN, {BASE + OWN: 1.06}),
    ("of 50 SQL statements", "sql50", WHOLE, {BASE: 1.1}),
    ("of 2,000 SQL statements", "sql2000", WHOLE, {BASE: 1.1}),
)
"""What is asked: its title, the path, ours, and the peers with their bars."""
_STATEMENTS = (50, 2_000)
_ROUTES = (1, 10, 100)
_ROUNDS = 40


def cases() -> Iterator[Found]:
    """Ask for a view, for a service of cornice, for SQL statements (each alone), for the last of many routes."""
    with contenders() as start:
        for title, kind, ours, bars in ASKED:
            names = [ours, *bars, *([OPEN_TELEMETRY] if ours == WHOLE else [])]
            takes = {name: _sample(start(name), kind) for name in names}
            yield measured(f"a request: {title}", "us", takes, _ROUNDS, most=bars)
        for name in (WHOLE, BASE):
            takes = {str(count): _sample(start(name), f"route{count}") for count in _ROUTES}
            samples = measured("", "us", takes, _ROUNDS).samples
            points = {int(count): statistics.median(taken) for count, taken in samples.items()}
            yield Growth(f"a request of the last of so many routes: {name}", "us", points)


class contenders(ExitStack):  # noqa: N801 # used as a function
    """Give a function that starts a contender by its name, once; all end with the block. ``under``: what runs them."""

    def __enter__(self) -> "Callable[..., Asked]":  # type: ignore[override] # what is wanted of it
        from benchmarks._servers import Asked, statsd_reader  # a server that is measured has no use for it

        super().__enter__()
        port, started = self.enter_context(statsd_reader()), {}

        def start(name: str, under: tuple[str, ...] = ()) -> "Asked":
            if name not in started:
                started[name] = self.enter_context(closing(Asked("benchmarks.request", name, port, under=under)))
                started[name].ask("ping 5")
            return started[name]

        return start


def _sample(one: "Asked", kind: str) -> Callable[[], float]:
    """Return what gives microseconds a request; of many statements, a statement: over a request that has none."""
    statements = int(kind.removeprefix("sql")) if kind.startswith("sql") else 0
    count = max(1, 500 // statements) if statements else 200
    if not statements:
        return lambda: one.ask(f"{kind} {count}")
    return lambda: (one.ask(f"{kind} {count}") - one.ask("ping 200")) / statements


# -- in a contender's process ------------------------------------------------------------------------------------------


def serve(name: str, port: int) -> None:
    """Make the requests that standard input asks for; answer with microseconds of processor time a request."""
    from pyramid.request import Request

    application = make(name, port)

    def start_response(status: str, _headers: list[tuple[str, str]]) -> None:
        assert status == "200 OK"

    for line in sys.stdin:
        kind, count = line.split()
        environ = Request.blank(f"/{kind}").environ
        begin = time.process_time()
        for _ in range(int(count)):
            for _chunk in application(dict(environ), start_response):
                pass
        print((time.process_time() - begin) / int(count) * 1e6, flush=True)


def factory(_global_config: Any = None, **_settings: Any) -> Any:
    """Return the application that the environment names; the signature is PasteDeploy's."""
    return make(os.environ["C2C_BENCHMARK"], int(os.environ["C2C_BENCHMARK_STATSD"]))


def make(name: str, port: int) -> Any:
    """Return the application of a contender."""
    from pyramid.config import Configurator

    database = not name.endswith(NO_DATABASE)
    settings = {"c2c.statsd_address": f"127.0.0.1:{port}", "c2c.secret": "a secret that nobody guesses"}
    if name in ALONE or name == BARE:
        config = Configurator(settings=settings)
        if name in ALONE:
            config.include(name.removesuffix(" alone").replace("-", "_"))
        _add_views(config, database=False)
        return config.make_wsgi_app()
    if name == OPEN_TELEMETRY:
        from opentelemetry.instrumentation.pyramid import PyramidInstrumentor
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
        from opentelemetry.sdk.trace import TracerProvider

        SQLAlchemyInstrumentor().instrument(tracer_provider=TracerProvider(), skip_dep_check=True)
        PyramidInstrumentor().instrument(tracer_provider=TracerProvider())
    config, service = _whole(settings, database=database) if name.startswith(WHOLE) else _base(database=database)
    if name.endswith(OWN):  # as applications have them; Pyramid then makes a class of each request
        config.add_request_method(lambda _request: "somebody", "user_name", property=True)
        config.add_request_method(lambda _request: {"language": "fr"}, "preferences", reify=True)
    _add_views(config, database=database)
    service.add_view("GET", _ping)
    config.add_cornice_service(service)
    return config.make_wsgi_app()


def _ping(_request: Any) -> dict[str, str]:
    return {"hello": "world"}


def _sleep(_request: Any) -> dict[str, str]:
    time.sleep(60)
    return {}


def _selects(count: int) -> Callable[[Any], dict[str, int]]:
    from sqlalchemy import text

    statement = text("SELECT 1")
    return lambda request: {"sum": sum(request.dbsession.execute(statement).scalar() for _ in range(count))}


def _add_views(config: Any, *, database: bool) -> None:
    views: dict[str, Callable[[Any], Any]] = {"ping": _ping, "sleep": _sleep}
    if database:
        views |= {f"sql{count}": _selects(count) for count in _STATEMENTS}
        views |= {f"route{number}": _ping for number in range(1, max(_ROUTES) + 1)}
    for name, view in views.items():
        config.add_route(name, f"/{name}")
        config.add_view(view, route_name=name, renderer="json", request_method="GET")


def _base(*, database: bool) -> tuple[Any, Any]:
    """Return what one writes by hand: a configurator, and a service of cornice."""
    from cornice import Service
    from pyramid.config import Configurator

    config = Configurator()
    config.include("pyramid_tm")
    config.include("cornice")
    if database:
        from sqlalchemy import create_engine
        from sqlalchemy.orm import sessionmaker
        from zope.sqlalchemy import register

        sessions = sessionmaker(create_engine("sqlite://"))
        register(sessions)
        config.add_request_method(lambda _request: sessions(), "dbsession", reify=True)
    return config, Service("s", "/service", cors_origins="*", cors_max_age=86400, http_cache=0, renderer="json")


def _whole(settings: dict[str, str], *, database: bool) -> tuple[Any, Any]:
    """Return the same with everything of ours on."""
    from pyramid.config import Configurator

    import c2c_meta as c2c

    on = ["statsd_use_tags", "stats_view", "log_view_enabled", "debug_view_enabled"]
    on += ["db_maintenance_view_enabled", "sql_profiler_enabled"] if database else []
    of_database = {"sqlalchemy.url": "sqlite://"} if database else {"c2c.exclude": "c2c_db"}
    config = Configurator(settings={**settings, **{f"c2c.{name}": "true" for name in on}, **of_database})
    config.include("c2c_meta")
    if database:
        c2c.db.init(config)
    return config, c2c.rest.services.create("service", "/service")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
