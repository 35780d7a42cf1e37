"""What times a block of code."""

from collections.abc import Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any

from c2c_stats._shortcuts import TAGS
from c2c_stats._sink import SINK

Key = Sequence[Any]
Tags = Mapping[str, Any]

_STORE = SINK.store
_TIMERS = _STORE.timers


class Stopwatch:
    """Start a measurement; ``stop(key_final=None, tags_final=None)`` records it and returns the seconds."""

    __slots__ = ("_key", "_start", "_tags")

    def __init__(self, key: Key | None = None, tags: Tags | None = None) -> None:
        self._key = key
        self._tags = tags
        self._start = perf_counter()

    def stop(self, key_final: Key | None = None, tags_final: Tags | None = None) -> float:
        """Record and return the seconds since the start.

        ``key_final`` and ``tags_final`` replace what was given at the start; without any key nothing is recorded.
        """
        seconds = perf_counter() - self._start
        key = self._key if key_final is None else key_final
        if key is not None and _STORE.on:
            _STORE.timer(key, self._tags if tags_final is None else tags_final).observe(seconds)
        return seconds


class TimerContext:
    """Time a ``with`` block; one that raises is not recorded."""

    __slots__ = ("_key", "_start", "_tags")

    def __init__(self, key: Key, tags: Tags | None = None) -> None:
        self._key = key
        self._tags = tags

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is None and _STORE.on:
            seconds = perf_counter() - self._start
            key, tags = self._key, self._tags
            try:
                if isinstance(key, str):
                    key = (key,)
                timer = _TIMERS[(*key, TAGS, *tags.items()) if tags else tuple(key)]
            except Exception:  # noqa: BLE001 # not found, or not to be looked up by
                timer = _STORE.timer(key, tags)
            timer.observe(seconds)


class OutcomeTimerContext:
    """Time a ``with`` block, success and failure apart.

    The key gets a last part ``success`` or ``failure``; where automatic metrics use tags, a tag ``success`` = 1 or 0.
    """

    __slots__ = ("_key", "_start", "_tags")

    def __init__(self, key: Key, tags: Tags | None = None) -> None:
        self._key = key
        self._tags = tags

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if not _STORE.on:
            return
        seconds = perf_counter() - self._start
        key, tags = self._key, self._tags
        try:
            if SINK.settings.statsd_use_tags:
                tags = {**(tags or {}), "success": "1" if kind is None else "0"}
            else:
                key = [*key, "success" if kind is None else "failure"]
        except Exception:  # noqa: BLE001, S110 # neither key nor tags: the store says so
            pass
        _STORE.timer(key, tags).observe(seconds)
