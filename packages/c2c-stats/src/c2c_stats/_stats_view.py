"""stats.json: the numbers of this process, or of all members."""

from typing import Any

from pyramid.httpexceptions import HTTPNotFound

from c2c_broadcast import broadcast, json_error
from c2c_stats._memory import MemoryBackend, Snapshot, merge, shown
from c2c_stats._sink import SINK

CHANNEL = "c2c_stats"
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})


def resets(request: Any) -> bool:
    """Tell whether the request asks for a reset (``reset=1``)."""
    return str(request.params.get("reset", "")).lower() in _TRUE


def answer(*, reset: bool = False) -> Snapshot:
    """Answer another member: this process's snapshot."""
    backend: MemoryBackend | None = SINK.exporter("memory")
    return {"timers": {}, "gauges": {}, "counters": {}} if backend is None else backend.snapshot(reset=reset)


def view(request: Any) -> dict[str, Any]:
    """Show the numbers; ``reset=1`` then clears them, ``scope=all`` adds up those of all members.

    With ``scope=all`` the answer also tells ``members`` (how many answered) and ``complete``.
    """
    backend: MemoryBackend | None = SINK.exporter("memory")
    if backend is None:
        raise json_error(HTTPNotFound, "No memory backend: set STATS_VIEW (ini key c2c.stats_view)")
    reset = resets(request)
    if request.params.get("scope") != "all":
        return shown(backend.snapshot(reset=reset))
    answers = broadcast.ask(CHANNEL, params={"reset": reset}, timeout=5)
    snapshots = [one for one in answers.answers if isinstance(one, dict) and "timers" in one]
    return {**shown(merge(snapshots)), "members": len(snapshots), "complete": answers.complete}
