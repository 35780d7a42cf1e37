"""Sizes of objects and of memory maps, also for code that wants to log them itself.

from c2c_debug.sizes import dump_memory_maps, get_size
"""

import gc
import sys
from contextlib import suppress
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, GetSetDescriptorType, MethodType, ModuleType
from typing import Any

from c2c_broadcast.memory_maps import memory_maps

_MOST = 10_000
# What everything leads to in the end: the interpreter's own.
_INTERNALS = (
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    CodeType,
    FrameType,
    GetSetDescriptorType,
)


def get_size(thing: object, python_internals_map: bool = False) -> int:
    """Return the bytes of a thing and of all that it leads to, as far as ten thousand things.

    Modules, classes, functions and frames are not followed, unless ``python_internals_map`` is true.
    """
    seen = {id(thing)}
    todo: list[Any] = [thing]
    size = 0
    while todo:
        one = todo.pop()
        with suppress(Exception):  # a foreign __sizeof__ may raise anything
            size += sys.getsizeof(one, 0)
        if len(seen) < _MOST:
            for other in gc.get_referents(one):
                # Not isinstance: a proxy's __class__ may run any code.
                if id(other) not in seen and (python_internals_map or not issubclass(type(other), _INTERNALS)):
                    seen.add(id(other))
                    todo.append(other)
    return size


def dump_memory_maps(pid: int | str = "self", proc: Path = Path("/proc")) -> list[dict[str, Any]]:
    """Return ``[{"name", "size_kb", "rss_kb", "pss_kb"}]`` of a process, most memory first.

    Raises:
        OSError: There is no such process, it is somebody else's, or this system has no ``/proc``.
    """
    found = [
        {"name": name, **{f"{what}_kb": size for what, size in sizes.items()}}
        for name, sizes in memory_maps(pid, proc).items()
    ]
    return sorted(found, key=lambda one: (-one["rss_kb"], -one["size_kb"], one["name"]))
