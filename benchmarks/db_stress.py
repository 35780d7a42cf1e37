"""The promises of c2c_db at full size, on a real streaming pair: ``python -m benchmarks.db_stress``.

10,000 writes, each read back by its client while the replica is 200 ms late: stale reads, and where other clients
read. Eight clients read while the replica is killed, and while it is stopped: failed requests, the slowest one, and
how soon its return is noticed. A promotion: how long until writes are taken again. 64 threads, each with 10^5
sessions, at a switch interval of 1 us: wrong engines. ``quick`` takes a hundredth of each number; ``threads`` and
``pair`` are the last and all the other parts alone.
"""

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from sqlalchemy import text

from c2c_db import init, setup_session
from c2c_db._scope import Scope, enter, leave
from c2c_testing.servers import PostgresPair, postgres_pair

_CLIENTS = 8
_THREADS = 64
_QUICK = 100
_LIMIT = 60.0


def main() -> None:
    """Run them all and print what happened."""
    share = _QUICK if "quick" in sys.argv[1:] else 1
    if "threads" not in sys.argv[1:]:
        _on_a_pair(share)
    if "pair" not in sys.argv[1:]:
        _threads(100_000 // share)


def _on_a_pair(share: int) -> None:
    with postgres_pair() as pair:
        pair.primary.execute("CREATE TABLE note (id serial PRIMARY KEY)")
        pair.wait_caught_up()
        _read_your_writes(pair, 10_000 // share)
        _fault(pair, "killed", pair.kill_replica, pair.start_replica)
        _fault(pair, "stopped", pair.replica.pause, pair.replica.resume)
        _promotion(pair)


class _Client:
    """Asks the application in process, with the cookies that it gets."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._cookie = ""

    def ask(self, method: str) -> tuple[int, dict[str, Any]]:
        """Return status and answer."""
        request = Request.blank("/notes", method=method, headers={"Cookie": self._cookie} if self._cookie else {})
        response = request.get_response(self._app)
        cookie = response.headers.get("Set-Cookie")
        if cookie:
            self._cookie = cookie.partition(";")[0]
        return response.status_int, response.json


def _app(primary: str, replica: str) -> Any:
    config = Configurator(settings={"sqlalchemy.url": primary, "sqlalchemy_slave.url": replica})
    init(config, "sqlalchemy", "sqlalchemy_slave")

    def read(request: Any) -> dict[str, Any]:
        row = request.dbsession.execute(text("SELECT count(*), pg_is_in_recovery() FROM note")).one()
        return {"count": row[0], "server": "replica" if row[1] else "primary"}

    def write(request: Any) -> dict[str, Any]:
        request.dbsession.execute(text("INSERT INTO note DEFAULT VALUES"))
        return {}

    config.add_route("notes", "/notes")
    config.add_view(read, route_name="notes", renderer="json", request_method="GET")
    config.add_view(write, route_name="notes", renderer="json", request_method="POST")
    return config.make_wsgi_app()


def _read_your_writes(pair: PostgresPair, pairs: int) -> None:
    app = _app(pair.primary.url, pair.replica.url)
    writer, other = _Client(app), _Client(app)
    pair.set_lag(0.2)
    stale = 0
    servers: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for number in range(1, pairs + 1):
        writer.ask("POST")
        _, seen = writer.ask("GET")
        stale += seen["count"] != number
        servers[seen["server"]] += 1
        others[other.ask("GET")[1]["server"]] += 1
    pair.set_lag(0)
    pair.wait_caught_up()
    print(f"{pairs} writes read back, replica 0.2 s late: {stale} stale; read on {dict(servers)}")
    print(f"  another client's reads meanwhile: {dict(others)}")


@contextlib.contextmanager
def _load(app: Any, seen: list[tuple[float, float, int, str]]) -> Iterator[None]:
    """Read from eight clients; ``seen`` gets end (monotonic), duration, status, server of each request."""
    stop = threading.Event()

    def read() -> None:
        client = _Client(app)
        while not stop.is_set():
            started = time.monotonic()
            try:
                status, answer = client.ask("GET")
            except Exception as error:  # noqa: BLE001 # each one counts
                status, answer = 500, {"server": repr(error)}
            now = time.monotonic()
            seen.append((now, now - started, status, answer.get("server", "")))

    threads = [threading.Thread(target=read) for _ in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _until(done: Callable[[], bool]) -> float:
    started = time.monotonic()
    while not done():
        if time.monotonic() - started > _LIMIT:
            raise TimeoutError(f"not within {_LIMIT} s")
        time.sleep(0.005)
    return time.monotonic() - started


def _fault(pair: PostgresPair, what: str, begin: Callable[[], None], end: Callable[[], None]) -> None:
    seen: list[tuple[float, float, int, str]] = []
    with _load(_app(pair.primary.url, pair.replica.url), seen):
        _until(lambda: len(seen) > 1_000)  # noqa: PLR2004 # warm
        begin()
        time.sleep(8)
        end()
        back = _until(lambda: {server for *_, server in seen[-20:]} == {"replica"})
    failed = sum(status != 200 for *_, status, _ in seen)  # noqa: PLR2004 # HTTP's OK
    slowest = max(duration for _, duration, _, _ in seen)
    print(f"replica {what} for 8 s under {_CLIENTS} clients: {failed} of {len(seen)} requests failed;", end=" ")
    print(f"slowest {slowest:.2f} s; used again {back:.1f} s after its return")


def _promotion(pair: PostgresPair) -> None:
    old, new = (f"{server.host}:{server.port}" for server in (pair.primary, pair.replica))
    client = _Client(_app(pair.primary.url.replace(old, f"{old},{new}"), pair.replica.url))
    client.ask("POST")
    pair.wait_caught_up()
    pair.primary.kill()
    statuses = {client.ask("POST")[0] for _ in range(5)}
    pair.promote()
    back = _until(lambda: client.ask("POST")[0] == 200)  # noqa: PLR2004 # HTTP's OK
    print(f"primary killed, replica promoted: writes meanwhile {statuses}; taken again {back:.2f} s after")


def _threads(each: int) -> None:
    config = Configurator(settings={"sqlalchemy.url": "sqlite:///a", "sqlalchemy_slave.url": "sqlite:///b"})
    session, primary, replica = setup_session(config, "sqlalchemy", "sqlalchemy_slave")
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(number, number + each):
            scope = Scope(Request.blank("/x", method=("GET", "POST")[turn % 2]))
            before = enter(scope)
            if session().get_bind() is not (replica, primary)[turn % 2]:
                wrong.append(f"{number}/{turn}")
            scope.close()
            leave(before)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(_THREADS)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    taken = time.monotonic() - started
    print(f"{_THREADS} threads x {each} sessions at 1 us: {len(wrong)} wrong engines ({taken:.1f} s)")


if __name__ == "__main__":
    main()
