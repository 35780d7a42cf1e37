"""What a session costs a request: ``python -m benchmarks db``.

Pyramid, pyramid_tm and a session registered with zope.sqlalchemy for each request, as services write it by hand, is the
measure; SQLite in a file, one small SELECT a request, everything in process. Bar: not slower than that (ratio <= 1).
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import zope.sqlalchemy
from pyramid.config import Configurator
from pyramid.request import Request
from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker

from benchmarks._case import Case, alternate
from benchmarks._table import show
from c2c_db import setup_session

_REQUESTS = 100
_ROUNDS = 30
_HAND = "pyramid_tm and zope.sqlalchemy by hand"
_STATEMENT = text("SELECT 1")


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Case]:
    """Serve requests that ask a database once."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'database'}"
        apps = {"no session": _nothing(), _HAND: _by_hand(url), "one": _own(url)}
        apps["routed"] = _own(url, f"sqlite:///{Path(folder) / 'replica'}")
        found = alternate({name: _sample(app) for name, app in apps.items()}, _ROUNDS)
    nothing = found["no session"]
    hand = found[_HAND].over(nothing).bar(most=1.0)
    for name, title in (("one", "one server"), ("routed", "with a replica")):
        ours = replace(found[name].over(nothing), name="c2c-db")
        yield Case(f"what a session adds to a request, {title}", "us", ours, (hand,))


def _sample(app: Callable[[Request], Any]) -> Callable[[], float]:
    return lambda: _time(app) * 1e6


def _time(app: Callable[[Request], Any]) -> float:
    started = time.process_time()
    for _ in range(_REQUESTS):
        app(Request.blank("/x"))
    return (time.process_time() - started) / _REQUESTS


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
