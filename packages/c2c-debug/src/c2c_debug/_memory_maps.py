"""What this process's memory is mapped to: ``/proc/self/smaps`` (proc_pid_smaps(5))."""

import re
from pathlib import Path
from typing import Any

from pyramid.httpexceptions import HTTPNotImplemented

from c2c_broadcast import json_error

SMAPS = Path("/proc/self/smaps")

# The first line of a mapping (addresses, permissions, offset, device, inode, name), and three of the some twenty lines
# that follow, which the kernel writes in this order.
_MAPPING = re.compile(
    rb"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+[ \t]*([^\n]*)\n"
    rb"Size:\s+(\d+) kB\n(?:(?!Rss:)[^\n]*\n){0,5}Rss:\s+(\d+) kB\n(?:Pss:\s+(\d+) kB)?",
    re.MULTILINE,
)
_ANONYMOUS = "[anon]"


def memory_maps(smaps: bytes) -> list[dict[str, Any]]:
    """Return ``[{"name", "size_kb", "rss_kb", "pss_kb"}]``, mappings of one name summed up, most memory first."""
    sums: dict[bytes, list[int]] = {}
    for name, *numbers in _MAPPING.findall(smaps):
        total = sums.setdefault(name, [0, 0, 0])
        for index, number in enumerate(numbers):
            total[index] += int(number or 0)
    found = [
        {"name": _shown(name), "size_kb": size, "rss_kb": rss, "pss_kb": pss} for name, (size, rss, pss) in sums.items()
    ]
    return sorted(found, key=lambda one: (-one["rss_kb"], -one["size_kb"], one["name"]))


def view(_request: Any) -> list[dict[str, Any]]:
    """Give the memory maps of this process, the biggest (in memory) first."""
    try:
        return memory_maps(SMAPS.read_bytes())
    except OSError as error:
        raise json_error(HTTPNotImplemented, f"This system does not tell: {SMAPS}: {error.strerror}") from None


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace").strip() or _ANONYMOUS
