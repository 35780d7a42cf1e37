"""Saying that logs can't be written, without logging: once a change, one line, on standard error."""

import logging
import sys

from c2c_logging._texts import safe, text_of


class Complaint:
    """Whether something is wrong now; ``what`` names the thing that the lines are about."""

    __slots__ = ("_said", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self._said = False

    @property
    def is_wrong(self) -> bool:
        """Whether something was wrong when it was last tried."""
        return self._said

    def wrong(self, why: str) -> None:
        """Say what is wrong, unless that is known."""
        if not self._said:
            self._said = True
            _write(f"c2c_logging: {self.what}: {why}")

    def error(self) -> None:
        """Say what exception is being handled; nothing where ``logging.raiseExceptions`` is false, as in logging."""
        if logging.raiseExceptions:
            error = sys.exc_info()[1]
            self.wrong(f"{type(error).__name__}: {safe(text_of(error))}")

    def right(self, note: str = "") -> None:
        """Say that it works again, if it did not."""
        if self._said:
            self._said = False
            _write(f"c2c_logging: {self.what}: works again{note}")


def _write(line: str) -> None:
    try:
        if sys.__stderr__ is not None:
            sys.__stderr__.write(line.replace("\n", " ") + "\n")
            sys.__stderr__.flush()
    except (OSError, ValueError):
        pass  # nobody is there to be told
