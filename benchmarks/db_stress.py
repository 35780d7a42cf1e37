"""The promises of c2c_db under faults, on a real streaming pair: ``python -m benchmarks.db_stress [quick] [NAME ...]``.

Clients write and read what they wrote, others only read, while a server is killed, stopped (SIGSTOP), made late, or
promoted. A line a fault: how many requests; how many were refused (503) and how many failed otherwise; writes that
were answered 200 and are gone; reads that did not show their client's last write; the longest request; how long after
the fault's end until writes, and until the replica was read from. ``reads``: 20,000 reads of own writes with a replica
that is 0.2 s late. ``threads``: 64 threads, each with 10^5 sessions, at a switch interval of 1 us: wrong engines.
``quick`` takes a fifth of each fault's time and a hundredth of the rest.
"""

import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from sqlalchemy import text

from c2c_db import databases, init, setup_session
from c2c_db._scope import Scope, working
from c2c_testing.servers import PostgresPair, postgres_pair

_WRITERS, _READERS = 8, 4
_THREADS = 64
_LIMIT = 60.0
_OK, _UNAVAILABLE = 200, 503
_HEAD = ("fault", "requests", "503", "failed", "lost", "stale", "longest", "writes back", "replica back")
_ROW = "{:<34} {:>8} {:>6} {:>6} {:>5} {:>5} {:>9} {:>11} {:>12}"


def main() -> None:
    """Run what is asked for, all by default, and print what happened."""
    asked = set(sys.argv[1:]) - {"quick"}
    quick = "quick" in sys.argv[1:]
    if not asked or "reads" in asked:
        _reads(20_000 // (100 if quick else 1))
    print(_ROW.format(*_HEAD))
    for name, (fault, seconds, warm) in _FAULTS.items():
        if not asked or name in asked or "faults" in asked:
            _fault(name, fault, seconds / (5 if quick else 1), warm=warm)
    if not asked or "threads" in asked:
        _threads(100_000 // (100 if quick else 1))


@contextlib.contextmanager
def _pair() -> Iterator[PostgresPair]:
    with postgres_pair() as pair:
        pair.primary.execute("CREATE TABLE note (client int, number int, PRIMARY KEY (client, number))")
        pair.wait_caught_up()
        yield pair


def _app(primary: str, replica: str) -> tuple[Any, Any]:
    config = Configurator(settings={"sqlalchemy.url": primary, "sqlalchemy_slave.url": replica})
    init(config, "sqlalchemy", "sqlalchemy_slave")
    newest = text("SELECT coalesce(max(number), 0), pg_is_in_recovery() FROM note WHERE client = :client")
    insert = text("INSERT INTO note VALUES (:client, :number)")

    def read(request: Any) -> dict[str, Any]:
        row = request.dbsession.execute(newest, {"client": request.params["client"]}).one()
        return {"number": row[0], "server": "replica" if row[1] else "primary"}

    def write(request: Any) -> dict[str, Any]:
        request.dbsession.execute(insert, dict(request.params))
        return {}

    config.add_route("notes", "/notes")
    config.add_view(read, route_name="notes", renderer="json", request_method="GET")
    config.add_view(write, route_name="notes", renderer="json", request_method="POST")
    return config.make_wsgi_app(), next(iter(databases(config.registry).values()))


@dataclass
class _Seen:
    """A request: when it ended (monotonic), how long it took, its status, and who answered a read."""

    at: float
    seconds: float
    status: int
    server: str
    stale: bool = False


class _Client:
    """Asks the application in process, with the cookies that it gets, and remembers what it was told."""

    def __init__(self, app: Any, number: int) -> None:
        self._app = app
        self._cookie = ""
        self._numbers = itertools.count(1)
        self.number = number
        self.written: list[int] = []
        self.seen: list[_Seen] = []

    def ask(self, method: str) -> _Seen:
        """Ask once; a write's number is one that was never sent before."""
        parameters = f"client={self.number}"
        if method == "POST":
            number = next(self._numbers)
            parameters += f"&number={number}"
        request = Request.blank(f"/notes?{parameters}", method=method)
        if self._cookie:
            request.headers["Cookie"] = self._cookie
        started = time.monotonic()
        try:
            response = request.get_response(self._app)
        except Exception:  # noqa: BLE001 # each one counts
            seen = _Seen(time.monotonic(), time.monotonic() - started, 500, "")
        else:
            seen = _Seen(time.monotonic(), time.monotonic() - started, response.status_int, "")
            self._cookie = response.headers.get("Set-Cookie", self._cookie).partition(";")[0]
            if seen.status == _OK and method == "POST":
                self.written.append(number)
            elif seen.status == _OK:
                seen.server = response.json["server"]
                seen.stale = bool(self.written) and response.json["number"] < self.written[-1]
        self.seen.append(seen)
        return seen


@contextlib.contextmanager
def _load(app: Any) -> Iterator[list[_Client]]:
    stop = threading.Event()
    clients = [_Client(app, number) for number in range(_WRITERS + _READERS)]

    def work(client: _Client) -> None:
        while not stop.is_set():
            if client.number < _WRITERS:
                client.ask("POST")
            client.ask("GET")
            time.sleep(0.005)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _since(clients: list[_Client], moment: float, is_it: Callable[[_Seen], bool]) -> float:
    """Return how long after a moment the first request ended that is it."""
    started = time.monotonic()
    while True:
        found = [one.at for client in clients for one in tuple(client.seen) if one.at > moment and is_it(one)]
        if found:
            return min(found) - moment
        if time.monotonic() - started > _LIMIT:
            return float("inf")
        time.sleep(0.02)


_Fault = Callable[[PostgresPair, float], None]


def _fault(name: str, fault: _Fault, seconds: float, *, warm: bool) -> None:
    with _pair() as pair:
        old, new = (f"{server.host}:{server.port}" for server in (pair.primary, pair.replica))
        promotes = fault is _promote
        primary = pair.primary.url.replace(old, f"{old},{new}") if promotes else pair.primary.url
        app, database = _app(primary, pair.replica.url)
        with contextlib.ExitStack() as stack:
            if not warm:  # the load begins when the server is stopped already
                stack.enter_context(pair.primary.paused())
            clients = stack.enter_context(_load(app))
            if warm:
                time.sleep(2)
                fault(pair, seconds)
            else:
                time.sleep(seconds)
                pair.primary.resume()
            ended = time.monotonic()
            writes = _since(clients, ended, lambda one: one.status == _OK and not one.server)
            replica = 0.0 if promotes else _since(clients, ended, lambda one: one.server == "replica")
            time.sleep(2)
        database.close()
        server = pair.replica if promotes else pair.primary
        there = set(server.execute("SELECT client, number FROM note"))
        seen = [one for client in clients for one in client.seen]
        lost = sum((client.number, number) not in there for client in clients for number in client.written)
        figures = (
            len(seen),
            sum(one.status == _UNAVAILABLE for one in seen),
            sum(one.status not in {_OK, _UNAVAILABLE} for one in seen),
            lost,
            sum(one.stale for one in seen),
            f"{max(one.seconds for one in seen):.1f} s",
            f"{writes:.1f} s",
            "-" if promotes else f"{replica:.1f} s",
        )
        print(_ROW.format(name, *figures), flush=True)


def _kill_replica(pair: PostgresPair, seconds: float) -> None:
    pair.kill_replica()
    time.sleep(seconds)
    pair.start_replica()


def _stop_replica(pair: PostgresPair, seconds: float) -> None:
    with pair.replica.paused():
        time.sleep(seconds)


def _late_replica(pair: PostgresPair, seconds: float) -> None:
    with pair.replay_paused():
        time.sleep(seconds)


def _promote(pair: PostgresPair, seconds: float) -> None:
    pair.primary.set(synchronous_standby_names="*")  # nobody is told of a write that the replica will not have
    time.sleep(1)
    pair.primary.kill()
    time.sleep(seconds)
    pair.promote()


def _kill_primary(pair: PostgresPair, seconds: float) -> None:
    pair.primary.kill()
    time.sleep(seconds)
    pair.primary.start()


def _stop_primary(pair: PostgresPair, seconds: float) -> None:
    with pair.primary.paused():
        time.sleep(seconds)


def _restart_primary(pair: PostgresPair, _seconds: float) -> None:
    pair.primary.restart()


def _stop_both(pair: PostgresPair, seconds: float) -> None:
    with pair.primary.paused(), pair.replica.paused():
        time.sleep(seconds)


_FAULTS: dict[str, tuple[_Fault, float, bool]] = {
    "replica killed, 8 s": (_kill_replica, 8, True),
    "replica stopped, 8 s": (_stop_replica, 8, True),
    "replica late, 8 s": (_late_replica, 8, True),
    "replica promoted": (_promote, 3, True),
    "primary killed, 8 s": (_kill_primary, 8, True),
    "primary stopped, 45 s, warm pool": (_stop_primary, 45, True),
    "primary stopped, 45 s, cold pool": (_stop_primary, 45, False),
    "primary restarted": (_restart_primary, 0, True),
    "both stopped, 15 s": (_stop_both, 15, True),
}


def _reads(number: int) -> None:
    with _pair() as pair:
        app, database = _app(pair.primary.url, pair.replica.url)
        pair.set_lag(0.2)
        clients = [_Client(app, one) for one in range(4)]

        def work(client: _Client) -> None:
            for _ in range(number // len(clients)):
                client.ask("POST")
                client.ask("GET")

        threads = [threading.Thread(target=work, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        other = _Client(app, 99)
        while any(thread.is_alive() for thread in threads):
            other.ask("GET")
            time.sleep(0.01)
        seen = [one for client in clients for one in client.seen if one.server]
        stale = sum(one.stale for one in seen)
        others = {one.server for one in other.seen}
        print(f"{len(seen)} reads of own writes, replica 0.2 s late: {stale} stale; others read on {others}")
        database.close()


def _threads(each: int) -> None:
    config = Configurator(settings={"sqlalchemy.url": "sqlite:///a", "sqlalchemy_slave.url": "sqlite:///b"})
    session, primary, replica = setup_session(config, "sqlalchemy", "sqlalchemy_slave")
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(number, number + each):
            scope = Scope(Request.blank("/x", method=("GET", "POST")[turn % 2]))
            with working(scope):
                if session().get_bind() is not (replica, primary)[turn % 2]:
                    wrong.append(f"{number}/{turn}")
                scope.close()

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
