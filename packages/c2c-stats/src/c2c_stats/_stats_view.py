"""stats.json: the memory backend, and the view of this process's numbers or of those of all members."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from c2c_broadcast import broadcast
from c2c_stats._series import Gauge, Identity, Timer
from c2c_stats._sink import SINK, BuiltIn

# timers: key -> [count, sum in seconds, least, most]; gauges: key -> [value, when]; counters: key -> total.
Snapshot = dict[str, dict[str, Any]]


class MemoryBackend(BuiltIn):
    """Reads the store when asked; needs nothing while metrics are recorded."""

    def snapshot(self, *, reset: bool = False) -> Snapshot:
        """Return what was recorded since the last reset; ``reset`` makes this the last one. Loses nothing between."""
        found: list[Snapshot] = []
        for series in self._store.all():
            key, before = key_of(series.identity), series.cleared
            now: Any
            if isinstance(series, Timer):
                now = (series.cells[0], series.count())
                # Another thread may be between its line for the count and the one for the least.
                least = min(series.least, series.most)
                numbers = [now[1] - before[1], max(0.0, now[0] - before[0]), least, series.most]
                if numbers[0] > 0:
                    found.append({"timers": {key: numbers}})
                if reset:
                    series.least, series.most = math.inf, 0.0
            elif isinstance(series, Gauge):
                now = (series.cells[0], series.cells[1])
                if now[1] and now != before:
                    found.append({"gauges": {key: now}})
            else:
                now = series.cells[0]
                if now != before:
                    found.append({"counters": {key: now - before}})
            if reset:
                series.cleared = now
        return merge(found)


def merge(snapshots: Iterable[Mapping[str, Mapping[str, Any]]]) -> Snapshot:
    """Add the snapshots of several processes: sums, extremes, and of each gauge the value set last."""
    timers: dict[str, Any] = {}
    gauges: dict[str, Any] = {}
    counters: dict[str, Any] = {}
    for one in snapshots:
        for key, (count, seconds, least, most) in one.get("timers", {}).items():
            known = timers.get(key, (0, 0, math.inf, 0))
            timers[key] = [known[0] + count, known[1] + seconds, min(known[2], least), max(known[3], most)]
        for key, value in one.get("gauges", {}).items():
            gauges[key] = max(gauges.get(key, value), value, key=lambda gauge: gauge[1])
        for key, total in one.get("counters", {}).items():
            counters[key] = counters.get(key, 0) + total
    return {"timers": timers, "gauges": gauges, "counters": counters}


def shown(snapshot: Mapping[str, Mapping[str, Any]]) -> Snapshot:
    """Return a snapshot as stats.json shows it: durations in milliseconds."""
    return {
        "timers": {
            key: {"nb": int(count), "avg_ms": _ms(seconds / count), "min_ms": _ms(least), "max_ms": _ms(most)}
            for key, (count, seconds, least, most) in snapshot["timers"].items()
        },
        "gauges": {key: plain(value) for key, (value, _) in snapshot["gauges"].items()},
        "counters": {key: plain(total) for key, total in snapshot["counters"].items()},
    }


def key_of(identity: Identity) -> str:
    """Return the key of a series in stats.json: ``path/of/it/tag=value``, tags sorted, no other ``/``."""
    parts = [*identity.path, *(f"{name}={value}" for name, value in identity.tags)]
    return "/".join(part.replace("/", "_") for part in parts)


def plain(value: float) -> float:
    """Return a number as one likes to read it: whole ones without a fraction."""
    return int(value) if value == int(value) else round(value, 9)


def _ms(seconds: float) -> float:
    return max(round(seconds * 1000, 3), 0.001)


CHANNEL = "c2c_stats"


def resets(request: Any) -> bool:
    from pyramid.settings import asbool

    return bool(asbool(request.params.get("reset", "")))


def answer(*, reset: bool = False) -> Snapshot:
    # Of this process, for another member.
    backend: MemoryBackend | None = SINK.exporters.get("memory")
    return merge([]) if backend is None else backend.snapshot(reset=reset)


def view(request: Any) -> dict[str, Any]:
    """Show the numbers; ``reset=1`` then clears them, ``scope=all`` adds up those of all members.

    With ``scope=all`` the answer also tells ``members`` (how many answered) and ``complete``.
    """
    reset = resets(request)
    if request.params.get("scope") != "all":
        return shown(answer(reset=reset))
    answers = broadcast.ask(CHANNEL, params={"reset": reset}, timeout=5)
    snapshots = [one for one in answers.answers if isinstance(one, dict) and "timers" in one]
    return {**shown(merge(snapshots)), "members": len(snapshots), "complete": answers.complete}
