"""How long ``ask`` takes with four member processes, on one host and by Redis: ``python -m benchmarks broadcast``.

The bars are beside redis-py by hand: 0.3 on one host, 0.7 by Redis. The floor, a round trip of a bare socket to the
same Redis, is measured in the same run.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import redis

from benchmarks._case import Case, Measured
from benchmarks._table import show
from c2c_broadcast import BroadcastSettings
from c2c_broadcast.broadcast import Broadcaster
from c2c_testing import servers

_MEMBERS = 4
_CALLS = 600
_CALLERS = 8
_ROUNDS = 5
_PREFIX = "benchmark_"
_HAND = "redis-py by hand: publish, answers by BLPOP"
_NAMES = {
    "host": "c2c-broadcast, forked from one root, no Redis",
    "ask": "c2c-broadcast, by Redis",
    "eight": "c2c-broadcast",
    "hand": _HAND,
    "hand eight": _HAND,
    "bare": "one round trip of a bare socket to Redis",
}


def _broadcaster(url: str | None) -> Broadcaster:
    one = Broadcaster(BroadcastSettings(redis_url=url, broadcast_prefix=_PREFIX), "benchmark")
    one.subscribe("ping", lambda: {"pong": True})
    one.start()
    return one


class _Family:
    """A process that forked three members, and asks them when it is told to."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.broadcast", "family"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def timed(self) -> list[float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        taken: list[float] = json.loads(self._process.stdout.readline())
        return taken

    def close(self) -> None:
        self._process.communicate()


def _family() -> None:
    children = []
    for _ in range(_MEMBERS - 1):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            _broadcaster(None)
            os.write(writer, b"1")
            threading.Event().wait()
        os.read(reader, 1)
        children.append(child)
    mine = _broadcaster(None)

    def ask() -> None:
        assert len(mine.ask("ping", timeout=10).answers) == _MEMBERS

    for _ in sys.stdin:
        print(json.dumps(_timed(_CALLS, ask)), flush=True)  # for the process that measures
    for child in children:
        os.kill(child, 9)


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


def _by_hand(url: str) -> Callable[[], None]:
    """Return what asks the members as one would write it with redis-py."""
    client = redis.Redis.from_url(url)

    def ask() -> None:
        key = f"{_PREFIX}answers_{uuid.uuid4()}"
        client.publish(f"{_PREFIX}hand", json.dumps({"call": "ping", "answer_to": key}))
        for _ in range(_MEMBERS):
            answer: Any = client.blpop([key], timeout=10)
            json.loads(answer[1])

    return ask


def _answer_by_hand(url: str) -> None:
    client = redis.Redis.from_url(url)
    channel: Any = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call] # as redis-py has it
    channel.subscribe(f"{_PREFIX}hand")

    def listen() -> None:
        with contextlib.suppress(redis.ConnectionError):  # at the end
            for message in channel.listen():
                key = json.loads(message["data"])["answer_to"]
                with client.pipeline() as pipeline:
                    pipeline.rpush(key, json.dumps({"pong": True}))
                    pipeline.expire(key, 60)
                    pipeline.execute()

    threading.Thread(target=listen, daemon=True).start()


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
    with servers.redis_server() as server:
        command = [sys.executable, "-m", "benchmarks.broadcast", "member", server.url]
        members = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(_MEMBERS - 1)]
        mine, family = _broadcaster(server.url), _Family()
        _answer_by_hand(server.url)
        hand = _by_hand(server.url)
        lost = 0

        def ask() -> None:
            nonlocal lost
            answers = mine.ask("ping", timeout=10)
            lost += _MEMBERS - len(answers.answers)

        try:
            while len(mine.ask("ping").answers) < _MEMBERS:
                time.sleep(0.1)
            taken: dict[str, list[list[float]]] = {
                "host": [],
                "ask": [],
                "hand": [],
                "bare": [],
                "eight": [],
                "hand eight": [],
            }
            for _ in range(_ROUNDS):
                taken["bare"].append(_bare(server.port))
                taken["host"].append(family.timed())
                taken["ask"].append(_timed(_CALLS, ask))
                taken["hand"].append(_timed(_CALLS, hand))
                taken["eight"].append(_eight(ask))
                taken["hand eight"].append(_eight(hand))
        finally:
            mine.close()
            family.close()
            for member in members:
                member.communicate()
    note = f"answers lost of {_ROUNDS * 2 * _CALLS * _MEMBERS:,}: {lost}"
    for title, part, bars in (("p50", 0.5, (0.3, 0.7)), ("p99", 0.99, (None, None))):
        found = {
            name: Measured(_NAMES[name], tuple(times[int(len(times) * part)] for times in rounds))
            for name, rounds in taken.items()
        }
        by_hand = [found["hand"].bar(most=bar) for bar in bars]
        title_of_hosts, title_by_redis = (
            f"ask {_MEMBERS} processes {how}: {title}" for how in ("of one host", "by Redis")
        )
        yield Case(title_of_hosts, "ms", found["host"], (by_hand[0], found["bare"]))
        yield Case(title_by_redis, "ms", found["ask"], (by_hand[1], found["bare"]), note)
        yield Case(
            f"the same by {_CALLERS} callers at once: {title}",
            "ms",
            found["eight"],
            (found["hand eight"], found["bare"]),
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["member"]:
        _broadcaster(sys.argv[2])
        _answer_by_hand(sys.argv[2])
        sys.stdin.read()
    elif sys.argv[1:2] == ["family"]:
        _family()
    else:
        main()
