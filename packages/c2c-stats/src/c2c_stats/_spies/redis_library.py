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

_STORE = SINK.store
_SHORTCUTS = _STORE.shortcuts


_Name = Callable[[Any, tuple[Any, ...]], Any]
"""Returns what a client was asked for, with these arguments; None where it sends nothing."""


def _command(_client: Any, arguments: tuple[Any, ...]) -> Any:
    return arguments[0] if arguments else ""


def _pipeline(client: Any, _arguments: tuple[Any, ...]) -> Any:
    return PIPELINE if len(client) else None


def _timed(execute: Callable[..., Any], name_of: _Name) -> Callable[..., Any]:
    def timed(self: Any, *arguments: Any, **options: Any) -> Any:
        command, start, success = name_of(self, arguments), perf_counter(), False
        try:
            answer = execute(self, *arguments, **options)
            success = True
        finally:
            _record(command, success, perf_counter() - start)
        return answer

    return timed


def _awaited(execute: Callable[..., Awaitable[Any]], name_of: _Name) -> Callable[..., Awaitable[Any]]:
    async def timed(self: Any, *arguments: Any, **options: Any) -> Any:
        command, start, success = name_of(self, arguments), perf_counter(), False
        try:
            answer = await execute(self, *arguments, **options)
            success = True
        finally:
            _record(command, success, perf_counter() - start)
        return answer

    return timed


def _record(command: Any, success: bool, seconds: float) -> None:
    if command is None or not _STORE.on:
        return
    name = command.decode("utf-8", "replace") if isinstance(command, bytes) else str(command)
    shortcut = ("redis", name, success)
    timer = _SHORTCUTS.get(shortcut)
    if timer is None:
        command = name.upper()
        tags = {"cmd": command, "success": "1" if success else "0"}
        timer = automatic("timer", ("redis",), tags, (command, "success" if success else "failure"))
        _STORE.remember(shortcut, timer)
    timer.observe(seconds)


_METHODS: tuple[tuple[type, str, Callable[..., Any], _Name], ...] = (
    (client.Redis, "execute_command", _timed, _command),
    (client.Pipeline, "immediate_execute_command", _timed, _command),
    (client.Pipeline, "execute", _timed, _pipeline),
    (cluster.RedisCluster, "execute_command", _timed, _command),
    (cluster.ClusterPipeline, "execute", _timed, _pipeline),
    (asyncio_client.Redis, "execute_command", _awaited, _command),
    (asyncio_client.Pipeline, "immediate_execute_command", _awaited, _command),
    (asyncio_client.Pipeline, "execute", _awaited, _pipeline),
    (asyncio_cluster.RedisCluster, "execute_command", _awaited, _command),
    (asyncio_cluster.ClusterPipeline, "execute", _awaited, _pipeline),
)


def install() -> None:
    """Watch all clients; nothing where that is done."""
    for owner, method, wrap, name_of in _METHODS:
        patch(owner, method, partial(wrap, name_of=name_of))
