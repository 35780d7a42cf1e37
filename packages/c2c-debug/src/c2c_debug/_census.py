"""How many objects of which type there are, and which of them nothing refers to.

The same as objgraph's ``typestats`` and ``get_leaking_objects``, in half their time: the loops are C's.
"""

import gc
from collections import Counter
from collections.abc import Sequence
from typing import Any

from c2c_debug._deadline import Deadline
from c2c_debug._objects import name_of, type_name

# Of whose references are looked at in one go: between two of them other threads may work, and the time is looked at.
_AT_ONCE = 1_000


def counts(things: Sequence[object]) -> Counter[str]:
    """Return how many things of each type there are."""
    try:
        kinds = Counter(map(type, things))
    except TypeError:  # a metaclass may have no __hash__
        return Counter(map(type_name, things))
    found: Counter[str] = Counter()
    for kind, count in kinds.items():
        found[name_of(kind)] += count
    return found


def unreferenced(things: Sequence[Any], deadline: Deadline) -> list[Any]:
    """Return the things that none of them refers to; an empty list where there was no time to look at all of them."""
    left = set(map(id, things))
    for start in range(0, len(things), _AT_ONCE):
        if deadline.over():
            return []
        left.difference_update(map(id, gc.get_referents(*things[start : start + _AT_ONCE])))
    return [thing for thing in things if id(thing) in left]
