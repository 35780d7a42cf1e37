"""What a session costs a request: ``python -m benchmarks.db``.

Pyramid, pyramid_tm and a session registered with zope.sqlalchemy for each request, as services write it by hand, is the
measure; SQLite in a file, one small SELECT a request, everything in process. Bar: not slower than that (ratio <= 1).
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zope.sqlalchemy
from pyramid.config import Configurator
from pyramid.request import Request
from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker

from c2c_db import setup_session

_REQUESTS = 500
_ROUNDS = 7
_STATEMENT = text("SELECT 1")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'database'}"
        apps = {"no session": _nothing(), "by hand": _by_hand(url), "c2c_db, one server": _own(url)}
        apps["c2c_db, with a replica"] = _own(url, f"sqlite:///{Path(folder) / 'replica'}")
        taken: dict[str, list[float]] = {name: [] for name in apps}
        for _ in range(_ROUNDS):
            for name, app in apps.items():
                taken[name].append(_time(app))
    microseconds = {name: statistics.median(times) * 1e6 for name, times in taken.items()}
    hand = microseconds["by hand"] - microseconds["no session"]
    for name, value in microseconds.items():
        ratio = (value - microseconds["no session"]) / hand
        print(f"{name:24} {value:7.1f} us a request; of the session by hand {ratio:5.2f}")


def _time(app: Callable[[Request], Any]) -> float:
    started = time.perf_counter()
    for _ in range(_REQUESTS):
        app(Request.blank("/x"))
    return (time.perf_counter() - started) / _REQUESTS


def _app(config: Configurator, execute: Callable[[Any], object]) -> Callable[[Request], Any]:
    config.add_route("x", "/x")
    config.add_view(lambda request: {"one": execute(request)}, route_name="x", renderer="json")
    router = config.make_wsgi_app()
    return lambda request: request.get_response(router)


def _nothing() -> Callable[[Request], Any]:
    config = Configurator()
    config.include("pyramid_tm")
    return _app(config, lambda _request: 1)


def _by_hand(url: str) -> Callable[[Request], Any]:
    config = Configurator()
    config.include("pyramid_tm")
    factory = sessionmaker(create_engine(url))

    def dbsession(request: Any) -> Any:
        session = factory()
        zope.sqlalchemy.register(session, transaction_manager=request.tm)
        return session

    config.add_request_method(dbsession, reify=True)
    return _app(config, lambda request: request.dbsession.scalar(_STATEMENT))


def _own(url: str, replica: str = "") -> Callable[[Request], Any]:
    config = Configurator(settings={"sqlalchemy.url": url, "sqlalchemy_slave.url": replica})
    session, _, _ = setup_session(config, "sqlalchemy", "sqlalchemy_slave")
    return _app(config, lambda _request: session.scalar(_STATEMENT))


if __name__ == "__main__":
    main()
