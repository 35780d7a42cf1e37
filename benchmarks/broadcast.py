"""How long ``ask`` takes on a local Redis with four member processes: ``python -m benchmarks broadcast``.

The bar: p50 <= 0.6 ms and p99 <= 3 ms; eight callers at once without loss, p50 <= 3 ms. Absolute figures are of the
machine; the floor, a round trip of a bare socket to the same Redis, is measured in the same run.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from benchmarks._case import Case, Measured
from benchmarks._table import show
from c2c_broadcast import BroadcastSettings
from c2c_broadcast.broadcast import Broadcaster
from c2c_testing import servers

_MEMBERS = 4
_CALLS = 1_000
_CALLERS = 8
_ROUNDS = 7
_PREFIX = "benchmark_"
_NAMES = {
    "ask": "c2c-broadcast",
    "eight": "c2c-broadcast",
    "bare": "one round trip of a bare socket to Redis",
}


def _broadcaster(url: str) -> Broadcaster:
    one = Broadcaster(BroadcastSettings(redis_url=url, broadcast_prefix=_PREFIX), "benchmark")
    one.subscribe("ping", lambda: {"pong": True})
    one.start()
    return one


def _timed(times: int, call: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begin) * 1000)
    return sorted(taken)


def _bare(port: int) -> list[float]:
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ping() -> None:
            link.sendall(b"PING\r\n")
            link.recv(100)

        return _timed(_CALLS, ping)


def _eight(ask: Callable[[], None]) -> list[float]:
    every: list[float] = []
    callers = [threading.Thread(target=lambda: every.extend(_timed(_CALLS // _CALLERS, ask))) for _ in range(_CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return sorted(every)


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Case]:
    """Ask four processes, alone and by eight callers at once."""
    with servers.redis_server() as redis:
        command = [sys.executable, "-m", "benchmarks.broadcast", "member", redis.url]
        members = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(_MEMBERS - 1)]
        mine = _broadcaster(redis.url)
        lost = 0

        def ask() -> None:
            nonlocal lost
            answers = mine.ask("ping", timeout=10)
            lost += _MEMBERS - len(answers.answers)

        try:
            while len(mine.ask("ping").answers) < _MEMBERS:
                time.sleep(0.1)
            taken: dict[str, list[list[float]]] = {"ask": [], "bare": [], "eight": []}
            for _ in range(_ROUNDS):
                taken["bare"].append(_bare(redis.port))
                taken["ask"].append(_timed(_CALLS, ask))
                taken["eight"].append(_eight(ask))
        finally:
            mine.close()
            for member in members:
                member.communicate()
    note = f"answers lost of {_ROUNDS * 2 * _CALLS * _MEMBERS:,}: {lost}"
    for title, part in (("p50", 0.5), ("p99", 0.99)):
        found = {
            name: Measured(_NAMES[name], tuple(times[int(len(times) * part)] for times in rounds))
            for name, rounds in taken.items()
        }
        yield Case(f"ask {_MEMBERS} processes, all answer: {title}", "ms", found["ask"], (found["bare"],), note)
        yield Case(f"the same by {_CALLERS} callers at once: {title}", "ms", found["eight"], (found["bare"],))


if __name__ == "__main__":
    if sys.argv[1:2] == ["member"]:
        _broadcaster(sys.argv[2])
        sys.stdin.read()
    else:
        main()
