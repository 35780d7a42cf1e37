"""stats.json: the memory backend, and the view of this process's numbers or of those of all members."""

from collections.abc import Iterable, Mapping
from typing import Any

from c2c_broadcast import broadcast
from c2c_stats._series import Counter, Gauge, Identity, Timer
from c2c_stats._sink import SINK, BuiltIn

Snapshot = dict[str, dict[str, Any]]
"""timers: key -> [count, sum in seconds, least, most]; gauges: key -> [value, when]; counters: key -> total."""


class MemoryBackend(BuiltIn):
    """Reads the store when asked; needs nothing while metrics are recorded."""

    def snapshot(self, *, reset: bool = False) -> Snapshot:
        """Return what was recorded since the last reset; ``reset`` makes this the last one. Loses nothing between."""
        found = merge([])
        for series in self._store.all():
            key = key_of(series.identity)
            if isinstance(series, Timer):
                if numbers := _timer(series, reset=reset):
                    found["timers"][key] = _add_timers(found["timers"].get(key), numbers)
            elif isinstance(series, Gauge):
                now = (series.cells[0], series.cells[1])
                if now[1] and now != series.cleared:
                    found["gauges"][key] = list(now)
                if reset:
                    series.cleared = now
            elif isinstance(series, Counter):
                total = series.cells[0]
                if total != series.cleared:
                    found["counters"][key] = found["counters"].get(key, 0) + total - series.cleared
                if reset:
                    series.cleared = total
        return found


def _timer(series: Timer, *, reset: bool) -> list[float] | None:
    seconds, count = series.cells[0], series.count()
    cleared_seconds, cleared_count = series.cleared
    # Another thread may be between its line for the count and the one for the least.
    least = min(series.least, series.most)
    numbers = [count - cleared_count, max(0.0, seconds - cleared_seconds), least, series.most]
    if reset:
        series.cleared = (seconds, count)
        series.least, series.most = float("inf"), 0.0
    return numbers if numbers[0] > 0 else None


def _add_timers(one: list[float] | None, other: list[float]) -> list[float]:
    if one is None:
        return other
    return [one[0] + other[0], one[1] + other[1], min(one[2], other[2]), max(one[3], other[3])]


def merge(snapshots: Iterable[Mapping[str, Mapping[str, Any]]]) -> Snapshot:
    """Add the snapshots of several processes: sums, extremes, and of each gauge the value set last."""
    merged: Snapshot = {"timers": {}, "gauges": {}, "counters": {}}
    for one in snapshots:
        for key, numbers in one["timers"].items():
            merged["timers"][key] = _add_timers(merged["timers"].get(key), numbers)
        for key, value in one["gauges"].items():
            if key not in merged["gauges"] or merged["gauges"][key][1] < value[1]:
                merged["gauges"][key] = value
        for key, total in one["counters"].items():
            merged["counters"][key] = merged["counters"].get(key, 0) + total
    return merged


def shown(snapshot: Mapping[str, Mapping[str, Any]]) -> Snapshot:
    """Return a snapshot as stats.json shows it: durations in milliseconds."""
    return {
        "timers": {
            key: {
                "nb": int(count),
                "avg_ms": _ms(seconds / count),
                "min_ms": _ms(least),
                "max_ms": _ms(most),
            }
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
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})


def resets(request: Any) -> bool:
    """Tell whether the request asks for a reset (``reset=1``)."""
    return str(request.params.get("reset", "")).lower() in _TRUE


def answer(*, reset: bool = False) -> Snapshot:
    """Answer another member: this process's snapshot."""
    backend: MemoryBackend | None = SINK.exporter("memory")
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
