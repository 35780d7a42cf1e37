"""orjson, where it is installed: nested extras as JSON, without a walk through them in Python."""

from typing import Any

from c2c_logging._masking import MASKING

orjson: Any
try:
    import orjson
except ImportError:  # the extra is not installed
    orjson = None

_LONGEST = 10_000


def container_text(value: Any) -> str | None:
    """Return a dict or list as JSON in ASCII, None for one that needs the careful walk (or where there is no orjson).

    That is one with what JSON does not know, with a secret in it, with characters beyond ASCII, deep or long.
    """
    if orjson is None:
        return None
    try:
        text = orjson.dumps(value, option=_OPTIONS).decode("ascii")
    except (TypeError, UnicodeDecodeError, RecursionError):
        return None
    if len(text) > _LONGEST or "\\" in text or text.count("{") + text.count("[") > _MOST_CONTAINERS:
        return None
    return text if MASKING.mask(text) == text else None


_MOST_CONTAINERS = 8  # so that none is deeper than the walk goes
_OPTIONS = (
    0
    if orjson is None
    else orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
)
