"""The spy on redis: each command, and each pipeline as one command ``PIPELINE``; clusters and asyncio, too."""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from redis import client, cluster
from redis.asyncio import client as asyncio_client
from redis.asyncio import cluster as asyncio_cluster

from c2c_stats._patch import patch, unpatch
from c2c_stats._sink import SINK

PIPELINE = "PIPELINE"

_STORE = SINK.store
_SHORTCUTS = _STORE.shortcuts


def _timed_command(execute: Callable[..., Any]) -> Callable[..., Any]:
    def execute_command(self: Any, *arguments: Any, **options: Any) -> Any:
        if not _STORE.on:
            return execute(self, *arguments, **options)
        start = perf_counter()
        success = False
        try:
            answer = execute(self, *arguments, **options)
            success = True
        finally:
            _record(arguments[0] if arguments else "", success, perf_counter() - start)
        return answer

    return execute_command


def _timed_pipeline(execute: Callable[..., Any]) -> Callable[..., Any]:
    def execute_pipeline(self: Any, *arguments: Any, **options: Any) -> Any:
        if not _STORE.on or not len(self):
            return execute(self, *arguments, **options)
        start = perf_counter()
        success = False
        try:
            answer = execute(self, *arguments, **options)
            success = True
        finally:
            _record(PIPELINE, success, perf_counter() - start)
        return answer

    return execute_pipeline


def _record(command: Any, success: bool, seconds: float) -> None:
    shortcut = ("redis", command, success)
    timer = _SHORTCUTS.get(shortcut)
    if timer is None:
        name = command.decode("utf-8", "replace") if isinstance(command, bytes) else str(command)
        labels = (("cmd", name.upper()), ("success", "1" if success else "0"))
        path = (name.upper(), "success" if success else "failure")
        timer = _STORE.automatic("redis", labels, path, SINK.settings.statsd_use_tags)
        _STORE.remember(shortcut, timer)
    timer.observe(seconds)


def _awaited_command(execute: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def execute_command(self: Any, *arguments: Any, **options: Any) -> Any:
        if not _STORE.on:
            return await execute(self, *arguments, **options)
        start = perf_counter()
        success = False
        try:
            answer = await execute(self, *arguments, **options)
            success = True
        finally:
            _record(arguments[0] if arguments else "", success, perf_counter() - start)
        return answer

    return execute_command


def _awaited_pipeline(execute: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def execute_pipeline(self: Any, *arguments: Any, **options: Any) -> Any:
        if not _STORE.on or not len(self):
            return await execute(self, *arguments, **options)
        start = perf_counter()
        success = False
        try:
            answer = await execute(self, *arguments, **options)
            success = True
        finally:
            _record(PIPELINE, success, perf_counter() - start)
        return answer

    return execute_pipeline


_METHODS: tuple[tuple[type, str, Callable[[Callable[..., Any]], Callable[..., Any]]], ...] = (
    (client.Redis, "execute_command", _timed_command),
    (client.Pipeline, "immediate_execute_command", _timed_command),
    (client.Pipeline, "execute", _timed_pipeline),
    (cluster.RedisCluster, "execute_command", _timed_command),
    (cluster.ClusterPipeline, "execute", _timed_pipeline),
    (asyncio_client.Redis, "execute_command", _awaited_command),
    (asyncio_client.Pipeline, "immediate_execute_command", _awaited_command),
    (asyncio_client.Pipeline, "execute", _awaited_pipeline),
    (asyncio_cluster.RedisCluster, "execute_command", _awaited_command),
    (asyncio_cluster.ClusterPipeline, "execute", _awaited_pipeline),
)


def install() -> None:
    """Watch all clients; nothing where that is done."""
    for owner, name, wrap in _METHODS:
        patch(owner, name, wrap)


def uninstall() -> None:
    """Watch no more."""
    for owner, name, _ in _METHODS:
        unpatch(owner, name)
