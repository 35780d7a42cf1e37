"""The spy on redis: each command, and each pipeline as one command ``PIPELINE``; clusters and asyncio, too."""

from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import Any

from redis import client, cluster
from redis.asyncio import client as asyncio_client
from redis.asyncio import cluster as asyncio_cluster

from c2c_stats._api import automatic
from c2c_stats._sink import SINK
from c2c_stats._spies import patch

PIPELINE = "PIPELINE"

# Returns what a client was asked for, with these arguments; None where it sends nothing.
_Name = Callable[[Any, tuple[Any, ...]], Any]


def _command(_client: Any, arguments: tuple[Any, ...]) -> Any:
    return arguments[0] if arguments else ""


def _pipeline(client: Any, _arguments: tuple[Any, ...]) -> Any:
    return PIPELINE if len(client) else None


class _Timing:
    """Times a ``with`` block, in which a client does what it was asked for."""

    def __init__(self, command: Any) -> None:
        self._command = command
        self._start = perf_counter()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        command = self._command
        if command is not None and SINK.on:
            seconds = perf_counter() - self._start
            name = (command.decode("utf-8", "replace") if isinstance(command, bytes) else str(command)).upper()
            tags = {"cmd": name, "success": "1" if kind is None else "0"}
            path = (name, "success" if kind is None else "failure")
            automatic("timer", ("redis",), tags, path).observe(seconds)


def _timed(execute: Callable[..., Any], name_of: _Name) -> Callable[..., Any]:
    def timed(self: Any, *arguments: Any, **options: Any) -> Any:
        with _Timing(name_of(self, arguments)):
            return execute(self, *arguments, **options)

    return timed


def _awaited(execute: Callable[..., Awaitable[Any]], name_of: _Name) -> Callable[..., Awaitable[Any]]:
    async def timed(self: Any, *arguments: Any, **options: Any) -> Any:
        with _Timing(name_of(self, arguments)):
            return await execute(self, *arguments, **options)

    return timed


def install() -> None:
    """Watch all clients; nothing where that is done."""
    for one, many, wrap in ((client, cluster, _timed), (asyncio_client, asyncio_cluster, _awaited)):
        for owner, method, name_of in (
            (one.Redis, "execute_command", _command),
            (one.Pipeline, "immediate_execute_command", _command),
            (one.Pipeline, "execute", _pipeline),
            (many.RedisCluster, "execute_command", _command),
            (many.ClusterPipeline, "execute", _pipeline),
        ):
            patch(owner, method, partial(wrap, name_of=name_of))
