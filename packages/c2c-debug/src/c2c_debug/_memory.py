"""What fills the memory of this process."""

import gc
import heapq
import linecache
from collections import Counter
from types import FunctionType
from typing import Any

from c2c_debug._deadline import Deadline
from c2c_debug._objects import Mask, by_name, is_a, kilobytes, short_repr, size_of

FUNCTIONS = "builtins.function"
LINECACHE = "linecache"
RESERVED = frozenset({"nb_collected", "most_common_types", "leaking_objects", "too_many", "timeout", "hostname", "pid"})
"""What an answer has beside an analyzed type's name."""

# To find those that nothing refers to takes some 70 bytes an object: no more than 300 MB.
_MOST_SEARCHED = 4_000_000


def memory(
    *,
    limit: int,
    analyze_type: str | None,
    internals: bool,
    mask: Mask,
    deadline: Deadline,
    most: int = _MOST_SEARCHED,
) -> dict[str, Any]:
    """Collect garbage and tell what is left; what the deadline cuts short has ``"timeout": true``.

    ``{"nb_collected": [3 numbers], "most_common_types": [[type, count]...], "leaking_objects": [[type, count]...]}``,
    and of ``analyze_type`` what ``analysis`` says. Where there are more than ``most`` objects, no leaking ones are
    looked for, and ``"too_many"`` says how many there are.
    """
    import objgraph

    found: dict[str, Any] = {"nb_collected": [gc.collect(generation) for generation in range(3)]}
    things = gc.get_objects()
    found["most_common_types"] = objgraph.most_common_types(limit, objects=things, shortnames=False)
    found["leaking_objects"] = []
    if len(things) > most:
        found["too_many"] = len(things)
    elif not deadline.over():
        leaking = objgraph.get_leaking_objects(things)
        found["leaking_objects"] = objgraph.most_common_types(limit, objects=leaking, shortnames=False)
        del leaking
    del things
    if analyze_type:
        found[analyze_type] = analysis(analyze_type, limit=limit, internals=internals, mask=mask, deadline=deadline)
    if deadline.over():
        found["timeout"] = True
    return found


def analysis(analyze_type: str, *, limit: int, internals: bool, mask: Mask, deadline: Deadline) -> dict[str, Any]:
    """Return more about one type.

    ``{"biggest_objects": [{"size_kb", "repr"}]}``; of ``builtins.function`` ``{"modules": [{"module", "nb_func"}]}``;
    of ``linecache``, the standard library's module, ``{"biggest_objects": [{"filename", "size_kb"}]}``.
    """
    if analyze_type == LINECACHE:
        return {"biggest_objects": _cached_files(limit)}
    things = by_name(analyze_type, gc.get_objects())
    if analyze_type == FUNCTIONS:
        modules = Counter(str(thing.__module__) for thing in things if is_a(thing, FunctionType))
        return {"modules": [{"module": module, "nb_func": count} for module, count in modules.most_common(limit)]}
    sizes = ((size_of(thing, internals=internals), index) for index, thing in enumerate(_while(deadline, things)))
    biggest = heapq.nlargest(limit, sizes)
    return {
        "biggest_objects": [
            {"size_kb": kilobytes(size), "repr": short_repr(things[index], mask)}
            for size, index in _while(deadline, biggest)
        ]
    }


def _while(deadline: Deadline, things: list[Any]) -> Any:
    """Yield the things as long as there is time, looked at before each: one may be large."""
    for thing in things:
        if deadline.over():
            return
        yield thing


def _cached_files(limit: int) -> list[dict[str, Any]]:
    # An entry is (size, mtime, lines, name), or one loader that would be asked for the lines.
    entries = [(entry[2], name) for name, entry in list(linecache.cache.items()) if len(entry) > 1]
    sizes = ((sum(map(len, lines)), name) for lines, name in entries)
    return [{"filename": name, "size_kb": kilobytes(size)} for size, name in heapq.nlargest(limit, sizes)]
