"""What an exception becomes: a status, a message, headers, and how loudly it is logged."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_QUIET = {401: logging.DEBUG, 500: logging.ERROR}
_FIRST_ERROR = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What clients read of an exception.

    ``message`` is for everybody, ``detail`` (with the SQL statement, say) for operators and the log, where it is not
    the same; ``members`` are more members of the JSON object; ``log_level`` is that of the status unless it is given.
    """

    status: int
    message: str
    detail: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    members: Mapping[str, Any] = field(default_factory=dict)
    log_level: int | None = None

    @property
    def level(self) -> int:
        """The level to log at: 401 DEBUG, 500 ERROR, other errors WARNING, what is no error DEBUG."""
        if self.log_level is not None:
            return self.log_level
        return _QUIET.get(self.status, logging.WARNING if self.status >= _FIRST_ERROR else logging.DEBUG)


def text_of(error: BaseException) -> str:
    """Return the text of an exception, its class's name where it has none or fails to tell."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 # any class may have a broken __str__: its error must be answered all the same
        text = ""
    return text or type(error).__name__
