"""Log what was found under a lock once no lock is held: a logging handler may itself need that lock."""

import logging
from collections import deque
from typing import Any

_MOST = 100
_WAITING: "deque[tuple[logging.Logger, str, tuple[Any, ...], Any]]" = deque(maxlen=_MOST)


def later(logger: logging.Logger, message: str, *arguments: Any, error: BaseException | None = None) -> None:
    """Keep a warning for the next ``say``; with the traceback of an error where one is given."""
    _WAITING.append((logger, message, arguments, error))


def say() -> None:
    """Log what waits. Only for callers that hold no lock of ours."""
    while _WAITING:
        try:
            logger, message, arguments, error = _WAITING.popleft()
        except IndexError:  # another thread has just said it
            return
        logger.warning(message, *arguments, exc_info=error)


def forget() -> None:
    """Drop what waits: in a forked process, whose parent says it."""
    _WAITING.clear()
