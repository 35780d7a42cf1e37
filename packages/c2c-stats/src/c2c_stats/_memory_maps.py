"""What a process's memory is mapped to: ``/proc/<pid>/smaps`` (proc_pid_smaps(5))."""

from collections.abc import Iterator
from pathlib import Path

from c2c_broadcast.process import PROC

ANONYMOUS = "[anon]"
FIELDS = {"pss": b"\nPss:", "rss": b"\nRss:", "size": b"\nSize:"}
"""What can be told of a mapping, in kB: its share of what several processes map, what is in memory, its length."""

_FIRST_FIELD = FIELDS["size"]
_NAME = 5


def memory_maps(pid: str, field: str, proc: Path = PROC) -> dict[str, int]:
    """Return name of what is mapped -> kB, summed up; nothing where the process is gone or another user's."""
    try:
        text = (proc / pid / "smaps").read_bytes()
    except OSError:
        return {}
    found: dict[bytes, int] = {}
    for name, number in _mappings(b"\n" + text, FIELDS[field]):
        found[name] = found.get(name, 0) + number
    return {_shown(name): number for name, number in found.items()}


def _mappings(text: bytes, wanted: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield name and number of each mapping.

    Of its some twenty lines only two are looked at: the one before ``Size:``, which has addresses, permissions, offset,
    device, inode and name, and the wanted one. Whatever else a kernel writes is passed over unseen.
    """
    find = text.find
    at = find(_FIRST_FIELD)
    while at >= 0:
        following = find(_FIRST_FIELD, at + 1)
        value = find(wanted, at, following if following >= 0 else len(text))
        head = text[text.rfind(b"\n", 0, at) + 1 : at].split(None, _NAME)
        if value >= 0 and len(head) >= _NAME:
            number = text[value + len(wanted) : find(b"kB", value)]
            yield head[_NAME] if len(head) > _NAME else b"", int(number)
        at = following


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace").strip().removesuffix(" (deleted)") or ANONYMOUS
