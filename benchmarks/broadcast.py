"""How long ``ask`` takes on a local Redis with four member processes: ``python -m benchmarks.broadcast``.

The bar: p50 <= 0.6 ms and p99 <= 3 ms; eight callers at once without loss, p50 <= 3 ms. Absolute figures are of the
machine; the floor, a round trip of a bare socket to the same Redis, is measured in the same run.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from c2c_broadcast import BroadcastSettings
from c2c_broadcast.broadcast import Broadcaster
from c2c_testing import servers

_MEMBERS = 4
_CALLS = 3_000
_CALLERS = 8
_ROUNDS = 3
_PREFIX = "benchmark_"


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


def _row(what: str, taken: list[float]) -> str:
    p50, p99 = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
    return f"{what:44} {p50:8.3f} {p99:8.3f} {taken[-1]:8.3f} {len(taken):8}"


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
            print(f"{'milliseconds':44} {'p50':>8} {'p99':>8} {'max':>8} {'calls':>8}")
            for _ in range(_ROUNDS):
                print(_row("a bare round trip to Redis", _bare(redis.port)))
                print(_row(f"ask, {_MEMBERS} processes answer", _timed(_CALLS, ask)))
                print(_row(f"ask by {_CALLERS} callers at once", _eight(ask)))
            print(f"answers lost: {lost}; load of this machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        finally:
            mine.close()
            for member in members:
                member.communicate()


if __name__ == "__main__":
    if sys.argv[1:2] == ["member"]:
        _broadcaster(sys.argv[2])
        sys.stdin.read()
    else:
        main()
