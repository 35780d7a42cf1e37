"""What a process has mapped: the one reader of ``/proc/<pid>/smaps``."""

import re
from pathlib import Path

from c2c_broadcast.process import PROC

# The first line of a mapping (addresses, permissions, offset, device, inode, name), and three of the some twenty lines
# that follow, which the kernel writes in this order (proc_pid_smaps(5)).
_MAPPING = re.compile(
    rb"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+[ \t]*([^\n]*)\n"
    rb"Size:\s+(\d+) kB\n(?:(?!Rss:)[^\n]*\n){0,5}Rss:\s+(\d+) kB\n(?:Pss:\s+(\d+) kB)?",
    re.MULTILINE,
)


def memory_maps(pid: int | str = "self", proc: Path = PROC) -> dict[str, dict[str, int]]:
    """Return what a process has mapped: name -> ``{"size", "rss", "pss"}`` in kB, mappings of one name summed up.

    Raises:
        OSError: There is no such process, it is somebody else's, or this system has no ``/proc``.
    """
    found: dict[str, dict[str, int]] = {}
    for name, *numbers in _MAPPING.findall((proc / str(pid) / "smaps").read_bytes()):
        shown = name.decode("utf-8", "replace").strip().removesuffix(" (deleted)") or "[anon]"
        sums = found.setdefault(shown, dict.fromkeys(("size", "rss", "pss"), 0))
        for field_name, number in zip(sums, numbers, strict=True):
            sums[field_name] += int(number or 0)
    return found
