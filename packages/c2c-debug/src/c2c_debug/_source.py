"""Lines of source: read one by one and few of them kept, where ``linecache`` keeps whole files for ever."""

from functools import lru_cache
from pathlib import Path

_MANY = 4096
_LARGEST_FILE = 4 * 1024 * 1024
_LONGEST_LINE = 200


@lru_cache(_MANY)
def line_of(file: str, line: int) -> str:
    """Return a line of a source file, stripped; "" where there is none."""
    path = Path(file)
    try:
        if line < 1 or path.stat().st_size > _LARGEST_FILE:
            return ""
        lines = path.read_bytes().split(b"\n", line)
    except (OSError, ValueError):  # no such file; <frozen importlib> and the like; a null byte
        return ""
    text = lines[line - 1] if len(lines) >= line else b""
    return text.decode("utf-8", "replace").strip()[:_LONGEST_LINE]
