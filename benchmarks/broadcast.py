"""How long ``ask`` takes with four member processes, on one host and by Redis: ``python -m benchmarks broadcast``.

Beside redis-py by hand: publish, answers by BLPOP. The median (p50) of so many calls is a sample. Bars: issue 26.
"""

import contextlib
import json
import os
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import redis

from benchmarks._case import Found, Growth, measured
from benchmarks._servers import Asked
from c2c_broadcast import BroadcastSettings
from c2c_broadcast.broadcast import Broadcaster
from c2c_testing.servers import redis_server

_MEMBERS = 4
_SIZES = (1, 4, 16)
_CALLS = 600
_PREFIX = "benchmark_"
_HAND = "redis-py by hand: publish, answers by BLPOP"


def cases() -> Iterator[Found]:
    """Ask four processes, then one to sixteen of a host."""
    with redis_server() as server, contextlib.ExitStack() as stack:

        def start(*arguments: object) -> Asked:
            return stack.enter_context(contextlib.closing(Asked("benchmarks.broadcast", *arguments)))

        for _ in range(_MEMBERS - 1):
            start("member", server.url).ask()
        mine = _broadcaster(server.url)
        stack.callback(mine.close)
        _answer_by_hand(server.url)
        by_hand = _by_hand(server.url)

        def ask() -> None:
            mine.ask("ping", timeout=10)

        while len(mine.ask("ping").answers) < _MEMBERS:
            time.sleep(0.1)
        hand = lambda: _median(by_hand)  # noqa: E731 # one of a few
        for title, ours, bar in (
            ("of one host", start("family", _MEMBERS).ask, 0.3),
            ("by Redis", lambda: _median(ask), 0.7),
        ):
            takes = {"c2c-broadcast": ours, _HAND: hand}
            yield measured(f"ask {_MEMBERS} processes {title}: p50", "ms", takes, 5, most={_HAND: bar})
        families = {size: start("family", size) for size in _SIZES}
        points = {size: min(family.ask() for _ in range(3)) for size, family in families.items()}
        yield Growth("ask so many processes of one host: p50", "ms", points)


def _median(call: Callable[[], object]) -> float:
    """Return the milliseconds of a call, the median of many."""
    taken = []
    for _ in range(_CALLS):
        begin = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begin) * 1000)
    return statistics.median(taken)


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


# -- in the members' processes -----------------------------------------------------------------------------------------


def _broadcaster(url: str | None) -> Broadcaster:
    one = Broadcaster(BroadcastSettings(redis_url=url, broadcast_prefix=_PREFIX), "benchmark")
    one.subscribe("ping", lambda: {"pong": True})
    one.start()
    return one


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


def _member(url: str) -> None:
    """Be a member, of ours and by hand, until standard input ends."""
    _broadcaster(url)
    _answer_by_hand(url)
    for _ in sys.stdin:
        print(0, flush=True)


def _family(size: int) -> None:
    """Fork all members but this one; ask them as often as standard input says."""
    children = []
    for _ in range(size - 1):
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
        assert len(mine.ask("ping", timeout=10).answers) == size

    for _ in sys.stdin:
        print(_median(ask), flush=True)
    for child in children:
        os.kill(child, 9)


if __name__ == "__main__":
    if sys.argv[1] == "member":
        _member(sys.argv[2])
    else:
        _family(int(sys.argv[2]))
