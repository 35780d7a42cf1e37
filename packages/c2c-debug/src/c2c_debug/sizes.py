"""Sizes of objects and of memory maps, for code that wants to log them itself.

from c2c_debug.sizes import dump_memory_maps, get_size
"""

from pathlib import Path
from typing import Any

from c2c_broadcast.process import memory_maps
from c2c_debug.objects import size_of

__all__ = ["dump_memory_maps", "get_size"]


def get_size(thing: object, python_internals_map: bool = False) -> int:
    """Return the bytes of a thing and of all that it leads to, as far as ten thousand things.

    Modules, classes, functions and frames are not followed, unless ``python_internals_map`` is true.
    """
    return size_of(thing, internals=python_internals_map)


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
