"""``ConsoleLogHandler``: lines for people."""

import logging
import os
import re
import time
from typing import Final

from c2c_logging._context import current
from c2c_logging._extras import extras
from c2c_logging._fields import full_message
from c2c_logging._plain import Walk
from c2c_logging._quiet import QuietStreamHandler
from c2c_logging._texts import dumps, message_of, safe, text_of

_RESET: Final = "\033[0m"
_FAINT: Final = "\033[2m"
_COLOURS = (
    (logging.CRITICAL, "\033[1;31m"),
    (logging.ERROR, "\033[31m"),
    (logging.WARNING, "\033[33m"),
    (logging.INFO, "\033[32m"),
    (0, "\033[36m"),
)
# What moves the cursor or changes colours must not come from a message; new lines and tabs may.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class ConsoleLogHandler(QuietStreamHandler):
    """Write each record as one aligned line: time, level, logger, message, extras, request id; then the traceback.

    In colour where the stream is a terminal (and NO_COLOR is not set). A formatter is not used.

    Args:
        stream: where to write; None is standard error
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        message, problem = message_of(record)
        colour = next(code for level, code in _COLOURS if record.levelno >= level or not level)
        colours = self._is_terminal()
        moment = time.strftime("%H:%M:%S", time.localtime(record.created)) + f".{int(record.msecs):03d}"
        found = extras(record, Walk())
        added = {name: value if isinstance(value, str) else dumps(value) for name, value in found.items()}
        if problem is not None:
            added["format_error"] = problem
        if (context := current()) is not None:
            added["request_id"] = context.request_id
        tail = "".join(f" {name}={value}" for name, value in added.items())
        parts = (
            (_FAINT, moment),
            (colour, f"{text_of(record.levelname):8}"),
            (_FAINT, f"{text_of(record.name):24}"),
            ("", _visible(safe(message))),
            (_FAINT, _visible(safe(tail))),
        )
        line = " ".join(f"{code}{text}{_RESET}" if colours and code else text for code, text in parts if text)
        trace = full_message(record)
        return line if trace is None else f"{line}\n{_visible(trace).rstrip()}"

    def _is_terminal(self) -> bool:
        # https://no-color.org
        return not os.environ.get("NO_COLOR") and hasattr(self.stream, "isatty") and self.stream.isatty()


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
