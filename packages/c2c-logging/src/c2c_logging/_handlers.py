"""``JsonLogHandler`` and ``ConsoleLogHandler``: lines for machines, lines for people, to a stream."""

import logging
import os
import re
import time
from collections.abc import Callable
from json import loads
from logging.config import DictConfigurator
from typing import Any, Final, TextIO, TypeVar, cast

from c2c_broadcast import ConfigurationError, load
from c2c_logging._line import extras_of, full_message, line_of
from c2c_logging._output import Complaint, Output, output_of
from c2c_logging._queue import Queue
from c2c_logging._request_ids import current
from c2c_logging._settings import HandlerSettings
from c2c_logging._values import message_of, safe, said, text_of

_T = TypeVar("_T")
_LOOK_AGAIN: Final = 0.05  # seconds
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 5.0
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


class LogHandler(logging.Handler):
    """What the handlers of this package share.

    They have no lock that ``logging.shutdown`` could hold while ``flush`` waits for a reader or for a thread that may
    log. What is wrong is complained about once.
    """

    _complaint: Complaint

    def acquire(self) -> None:
        """Do nothing: nobody else's lock is needed, and none is held for long."""

    def release(self) -> None:
        """Do nothing, as ``acquire``."""

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter and write the record, one at a time: what logging does, in half the time."""
        if self.filters:
            kept: Any = self.filter(record)
            if not kept:
                return kept
            if isinstance(kept, logging.LogRecord):  # from Python 3.12 on, a filter may replace the record
                record = kept
        lock = self.lock
        if lock is not None:
            with lock:
                self.emit(record)
        return True

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 # the name of logging
        """Say once what is wrong."""
        self._complaint.error()


class QueueHandler(LogHandler):
    """A handler that hands its records over to a queue, and so never waits for what it writes to."""

    _queue: "ServerQueue[Any]"

    def __init__(self, what: str) -> None:
        super().__init__()
        self._complaint = Complaint(what)

    def flush(self) -> None:
        """Wait until all is written: some seconds at most, not for what is away, nor in ``dictConfig``."""
        self._queue.flush()

    def close(self) -> None:
        """Have all written that can be, and end the thread."""
        self._queue.close()
        super().close()


class ServerQueue(Queue[_T]):
    """The queue before a server, which may be away: that is said once, and so is that it is back."""

    def __init__(self, name: str, server: str) -> None:
        super().__init__(name)
        self._server = Complaint(server)
        self._room = Complaint(f"queue of {name}")

    def full(self) -> None:
        """Say once that the oldest are dropped."""
        self._room.wrong("is full: the oldest are dropped and counted")

    def dropped(self, count: int) -> None:
        """Say how many: at the end also those that the server was not there for."""
        self._room.is_wrong = False
        self._room.note(f"{count} records were dropped")

    def until_it_works(self, work: Callable[[], None]) -> bool:
        """Do ``work()`` until it raises nothing, with pauses; False where there is no time for that."""
        pause = _FIRST_PAUSE
        while True:
            try:
                work()
            except Exception as error:  # noqa: BLE001 # drivers raise what they like; logging goes on
                self.is_away = True
                problem = "does not read" if isinstance(error, TimeoutError) else f"is away ({said(error)})"
                self._server.wrong(f"{problem}: up to 10,000 records wait for it, then the oldest are dropped")
            else:
                self.is_away = False
                return True
            if self.is_late:
                return False
            end = time.monotonic() + pause
            while time.monotonic() < end and not self.is_late:
                time.sleep(0.05)
            pause = min(2 * pause, _LONGEST_PAUSE)


class StreamHandler(LogHandler, logging.StreamHandler[TextIO]):
    """Write what ``format(record)`` returns, and a new line; complain once about a stream that fails."""

    def __init__(self, stream: TextIO | str | None = None) -> None:
        if isinstance(stream, str):
            # fileConfig, of gunicorn's --log-config and of pserve, leaves "ext://sys.stdout" as it is.
            stream = DictConfigurator({"version": 1}).convert(stream)
        if stream is not None and not hasattr(stream, "write"):
            raise ConfigurationError(f"stream of a log handler: {stream!r}: must be a stream, or ext://sys.stdout")
        super().__init__(cast("TextIO | None", stream))
        self._complaint = Complaint("log lines can't be written")
        self._output: Output | None = None
        self._of: Any = None
        self._encoding = "utf-8"
        self._look(0.0)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        try:
            line = self.format(record) + self.terminator
            stream, now = self.stream, time.monotonic()
            # A number may mean something else by now, as when a daemon lets go of its terminal.
            if stream is not self._of or now - self._looked > _LOOK_AGAIN:
                self._look(now)
            if self._output is None:
                stream.write(line)
                stream.flush()
            else:
                self._output.write(line.encode(self._encoding, "backslashreplace"))
        except Exception:  # noqa: BLE001 # whoever logs must not suffer for it
            self.handleError(record)

    def _look(self, now: float) -> None:
        self._of, self._looked = self.stream, now
        try:
            self._output = output_of(self.stream)
        except (OSError, ValueError):
            self._output = None  # it is closed: writing says so
        if self._output is not None:
            self._encoding = self.stream.encoding
            self._output.notice = self._notice

    def _notice(self, text: str) -> bytes:
        made = {"name": "c2c_logging", "levelno": logging.WARNING, "levelname": "WARNING", "msg": text}
        return f"{self.format(logging.makeLogRecord(made))}{self.terminator}".encode(self._encoding, "backslashreplace")

    def flush(self) -> None:
        """Wait until the reader has taken what waits for it: two seconds at most, once."""
        if self._output is None:
            super().flush()
        else:
            self._output.flush()


class JsonLogHandler(StreamHandler):
    """Write each record as one line of JSON.

    The line is ASCII, strict JSON (RFC 8259), at most 32 kB, and has no secret in it. A formatter is not used. To add
    to the line, override ``format(record)``, which returns it without its end.

    Args:
        stream: where to write; None is standard error

    Raises:
        ConfigurationError: LOG_JSON_DIALECT is none.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.dialect = load(HandlerSettings, {}).json_dialect
        super().__init__(stream)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON, without an end of line. Never raises."""
        return line_of(record, self.dialect)


class ConsoleLogHandler(StreamHandler):
    """Write each record as one aligned line: time, level, logger, message, extras, request id; then the traceback.

    In colour where the stream is a terminal (and NO_COLOR is not set). A formatter is not used.

    Args:
        stream: where to write; None is standard error
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        message, problem = message_of(record.__dict__)
        colour = next(code for level, code in _COLOURS if record.levelno >= level or not level)
        # https://no-color.org
        colours = not os.environ.get("NO_COLOR") and hasattr(self.stream, "isatty") and self.stream.isatty()
        moment = time.strftime("%H:%M:%S", time.localtime(record.created)) + f".{int(record.msecs):03d}"
        added = {name: loads(value) if value[0] == '"' else value for name, value in extras_of(record).items()}
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


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
