"""Count the files that one thing crosses, followed through its package: ``python -m acceptance_tests.files``.

DESIGN asks for at most five. Those that cross more are in ``MORE``; another one, or one that crosses more, is an error.
"""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from pyramid.config import Configurator
from pyramid.request import Request

import c2c_meta as c2c
from c2c_broadcast import BroadcastSettings
from c2c_broadcast.broadcast import Broadcaster
from c2c_logging import JsonLogHandler

SECRET = "a secret that nobody guesses"  # noqa: S105 # made up
MOST = 5
MORE = {"one read": 6}


def main() -> NoReturn:
    """Print a line for each call that is followed; 1 where one crosses too many files, or none."""
    config = Configurator(
        settings={"c2c.secret": SECRET, "c2c.debug_view_enabled": "true", "sqlalchemy.url": "sqlite://"}
    )
    config.include("c2c_meta")
    c2c.db.init(config)
    for name in ("ping", "read"):
        config.add_route(name, f"/{name}")
    config.add_view(lambda _request: {}, route_name="ping", renderer="json")
    config.add_view(
        lambda request: request.dbsession.connection().exec_driver_sql("SELECT 1").all(),
        route_name="read",
        renderer="string",
    )
    app = config.make_wsgi_app()
    # Alone: the view of another package does what it is for, and the tweens of all follow each request.
    alone = Configurator(settings={"c2c.secret": SECRET})
    alone.include("c2c_broadcast")
    alone.add_request_attribute("followed", property(lambda _request: 1))
    alone.add_operator_view(lambda request: request.followed, name="followed", path="/followed")
    operators = alone.make_wsgi_app()
    broadcaster = Broadcaster(BroadcastSettings(broadcast_prefix="files_"), "files")
    broadcaster.subscribe("ping", dict)
    broadcaster.start()
    log = logging.Logger("followed")  # noqa: LOG001 # not to be found by name
    log.addHandler(JsonLogHandler(open(os.devnull, "w")))  # noqa: PTH123, SIM115 # until the end

    def get(path: str, of: Any = app) -> Callable[[], Any]:
        return lambda: Request.blank(path, headers={"X-API-Key": SECRET}).get_response(of)

    ping = get("/ping")
    followed: dict[str, tuple[str, Callable[[], object]]] = {
        "one ask": ("broadcast", lambda: broadcaster.ask("ping", timeout=5)),
        "one operator request": ("broadcast", get("/c2c/followed", operators)),
        **{f"one request, in c2c-{name}": (name, ping) for name in ("stats", "logging", "debug", "health", "rest")},
        "one read": ("db", get("/read")),
        "one counter to statsd": ("stats", lambda: c2c.stats.increment_counter(["a"], tags={"b": "c"})),
        "one scrape": ("stats", get("/metrics")),
        "one log line": ("logging", lambda: log.warning("hello %s", 1)),
        "one health check": ("health", get("/c2c/health_check")),
    }
    wrong = 0
    for name, (package, call) in followed.items():
        # Of a scrape not what each request crosses.
        found = _files(package, call) - (_files(package, ping) if name == "one scrape" else set())
        wrong += not 0 < len(found) <= MORE.get(name, MOST)
        sys.stdout.write(f"{name:30} {len(found)}  {', '.join(sorted(found))}\n")
    sys.stdout.flush()
    os._exit(bool(wrong))  # threads of what was followed end with the process


def _files(package: str, call: Callable[[], object]) -> set[str]:
    """Return the files of a package that a call enters in this thread; not its first call, which prepares."""
    found = set()

    def note(frame: Any, event: str, _argument: object) -> None:
        _, inside, file = frame.f_code.co_filename.partition(f"/src/c2c_{package}/")
        if event == "call" and inside:
            found.add(file)

    call()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return found


if __name__ == "__main__":
    main()
