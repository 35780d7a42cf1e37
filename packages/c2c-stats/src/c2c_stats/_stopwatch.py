"""What times a block of code."""

from collections.abc import Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any

from c2c_stats._store import Store

Key = Sequence[Any]
Tags = Mapping[str, Any]


class Stopwatch:
    """A measurement that began when it was made; ``stop`` ends and records it."""

    __slots__ = ("_key", "_start", "_store", "_tags")

    def __init__(self, store: Store, key: Key | None, tags: Tags | None) -> None:
        self._store = store
        self._key = key
        self._tags = tags
        self._start = perf_counter()

    def stop(self, key_final: Key | None = None, tags_final: Tags | None = None) -> float:
        """Record and return the seconds since the start.

        ``key_final`` and ``tags_final`` replace what was given at the start; without any key nothing is recorded.
        """
        seconds = perf_counter() - self._start
        key = self._key if key_final is None else key_final
        if key is not None and self._store.on:
            self._store.timer(key, self._tags if tags_final is None else tags_final).observe(seconds)
        return seconds


class TimerContext:
    """Time a ``with`` block that ends well."""

    __slots__ = ("_key", "_start", "_store", "_tags")

    def __init__(self, store: Store, key: Key, tags: Any) -> None:
        self._store = store
        self._key = key
        self._tags = tags

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is None and self._store.on:
            seconds = perf_counter() - self._start
            tags = self._tags
            try:
                timer = self._store.shortcuts[
                    ("timer", tuple(self._key), tuple(tags.items())) if tags else ("timer", tuple(self._key))
                ]
            except (KeyError, TypeError, AttributeError):
                timer = self._store.timer(self._key, tags)
            timer.observe(seconds)


class OutcomeTimerContext:
    """Time a ``with`` block, whether it ends well or not."""

    __slots__ = ("_key", "_start", "_store", "_tags", "_use_tags")

    def __init__(self, store: Store, key: Key, tags: Tags | None, use_tags: bool) -> None:
        self._store = store
        self._key = key
        self._tags = tags
        self._use_tags = use_tags

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if not self._store.on:
            return
        seconds = perf_counter() - self._start
        if self._use_tags:
            key, tags = self._key, {**(self._tags or {}), "success": "1" if kind is None else "0"}
        else:
            key, tags = [*self._key, "success" if kind is None else "failure"], dict(self._tags or {})
        self._store.timer(key, tags).observe(seconds)
