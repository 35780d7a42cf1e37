"""What fills the memory of this process."""

import gc
import heapq
import linecache
from collections import Counter
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from c2c_debug._deadline import Deadline
from c2c_debug._objects import Mask, by_name, is_a, kilobytes, near, short_repr, size_of

FUNCTIONS = "builtins.function"
LINECACHE = "linecache"
RESERVED = frozenset({"nb_collected", "most_common_types", "leaking_objects", "too_many", "timeout", "hostname", "pid"})
"""What an answer has beside an analyzed type's name."""

# To find those that nothing refers to takes some 70 bytes an object: no more than 300 MB.
_MOST_SEARCHED = 4_000_000
_FOR_REPRS = 5.0


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
    and of ``analyze_type`` what ``analysis`` says. ``leaking_objects`` is None where they were not looked for: time was
    over, or there are more than ``most`` objects, and ``"too_many"`` says how many.
    """
    import objgraph

    found: dict[str, Any] = {"nb_collected": [gc.collect(generation) for generation in range(3)]}
    things = gc.get_objects()
    found["most_common_types"] = objgraph.most_common_types(limit, objects=things, shortnames=False)
    found["leaking_objects"] = None
    if analyze_type:  # what was asked for comes first
        found[analyze_type] = analysis(
            analyze_type, things, limit=limit, internals=internals, mask=mask, deadline=deadline
        )
    if len(things) > most:
        found["too_many"] = len(things)
    elif not deadline.over():
        leaking = objgraph.get_leaking_objects(things)
        found["leaking_objects"] = objgraph.most_common_types(limit, objects=leaking, shortnames=False)
        del leaking
    if deadline.over():
        found["timeout"] = True
    return found


def analysis(
    analyze_type: str, things: list[Any], *, limit: int, internals: bool, mask: Mask, deadline: Deadline
) -> dict[str, Any]:
    """Return more about one type, among the things.

    ``{"biggest_objects": [{"size_kb", "repr"}]}``; of ``builtins.function`` ``{"modules": [{"module", "nb_func"}]}``;
    of ``linecache``, the standard library's module, ``{"biggest_objects": [{"filename", "size_kb"}]}``; of a type that
    is none ``{"near": [names]}``. Of what the deadline cuts short it has what was found until then.
    """
    if analyze_type == LINECACHE:
        return {"biggest_objects": _cached_files(limit)}
    found = by_name(analyze_type, things)
    if found is None:
        return {"near": near(analyze_type, things)}
    if analyze_type == FUNCTIONS:
        modules = Counter(str(thing.__module__) for thing in found if is_a(thing, FunctionType))
        return {"modules": [{"module": module, "nb_func": count} for module, count in modules.most_common(limit)]}
    sizes = ((size_of(thing, internals=internals), index) for index, thing in enumerate(_while(deadline, found)))
    biggest = heapq.nlargest(limit, sizes)
    # These have some time of their own: what took a minute to find is not thrown away.
    texts = _while(Deadline(_FOR_REPRS), biggest)
    return {
        "biggest_objects": [
            {"size_kb": kilobytes(size), "repr": short_repr(found[index], mask)} for size, index in texts
        ]
    }


def _while(deadline: Deadline, things: list[Any]) -> Iterator[Any]:
    """Yield the things as long as there is time, looked at after each: one may be large. The first comes anyway."""
    for thing in things:
        yield thing
        if deadline.over():
            return


def _cached_files(limit: int) -> list[dict[str, Any]]:
    # An entry is (size, mtime, lines, name), or one loader that would be asked for the lines.
    entries = [(entry[2], name) for name, entry in list(linecache.cache.items()) if len(entry) > 1]
    sizes = ((sum(map(len, lines)), name) for lines, name in entries)
    return [{"filename": name, "size_kb": kilobytes(size)} for size, name in heapq.nlargest(limit, sizes)]
