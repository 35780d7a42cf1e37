"""``JsonLogHandler`` and ``ConsoleLogHandler``: lines for machines, lines for people, to a stream."""

import contextlib
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from json import loads
from logging.config import DictConfigurator
from typing import Any, Final, TextIO, TypeVar, cast

from c2c_broadcast import ConfigurationError, load
from c2c_logging._line import Walk, extras_of, line_of, syslog_level
from c2c_logging._request_ids import current
from c2c_logging._sending import Complaint, Output, Queue, output_of
from c2c_logging._settings import HandlerSettings
from c2c_logging._texts import full_message, message_of, safe, said, text_of

_T = TypeVar("_T")
_LOOK_AGAIN: Final = 0.05  # seconds
_PAUSE: Final = 1.0
# By severity of syslog.
_COLOURS: Final = {2: "1;31", 3: "31", 4: "33", 6: "32", 7: "36"}
# What moves the cursor or changes colours must not come from a message; new lines and tabs may.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class LogHandler(logging.Handler):
    """What the handlers of this package share: what is wrong is complained about once.

    They have no lock that ``logging.shutdown`` could hold while ``flush`` waits for a reader, or a thread that may log.
    """

    _complaint: Complaint

    def acquire(self) -> None:
        """Do nothing."""

    release = acquire

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter and write the record, one at a time: what logging does, in half the time."""
        kept: Any = self.filter(record) if self.filters else True
        if isinstance(kept, logging.LogRecord):  # from Python 3.12 on, a filter may replace the record
            record = kept
        if kept and self.lock is not None:
            with self.lock:
                try:
                    self.emit(record)
                except Exception:  # noqa: BLE001 # whoever logs must not suffer for it
                    self.handleError(record)
        return kept

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 # the name of logging
        """Say once what is wrong; nothing where ``logging.raiseExceptions`` is false, as in logging."""
        error = sys.exc_info()[1]
        if logging.raiseExceptions and error is not None:
            self._complaint.wrong(said(error))


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

    sure_after = 0.0  # seconds without a failure after which it is back

    def __init__(self, name: str, server: str) -> None:
        super().__init__(name)
        self._server = Complaint(server)
        self._room = Complaint(f"queue of {name}")
        self._failed = 0.0

    def full(self) -> None:
        """Say once that the oldest are dropped."""
        self._room.wrong("is full: the oldest are dropped and counted")

    def dropped(self, count: int) -> None:
        """Say how many: at the end also those that the server was not there for."""
        self._room.is_wrong = False
        self._room.note(f"{count} records were dropped")

    def until_it_works(self, work: Callable[[], None]) -> bool:
        """Do ``work()`` until it raises nothing, with pauses; False where there is no time for that."""
        while True:
            try:
                work()
            except Exception as error:  # noqa: BLE001 # drivers raise what they like; logging goes on
                self.is_away, self._failed = True, time.monotonic()
                problem = "does not read" if isinstance(error, TimeoutError) else f"is away ({said(error)})"
                self._server.wrong(f"{problem}: up to 10,000 records wait for it, then the oldest are dropped")
            else:
                self.is_away = False
                if time.monotonic() >= self._failed + self.sure_after:
                    self._server.right()
                return True
            if self.is_late:
                return False
            while time.monotonic() < self._failed + _PAUSE and not self.is_late:
                time.sleep(0.05)


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
        self._look(0.0)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        text = self.format(record) + self.terminator
        stream, now = self.stream, time.monotonic()
        # A number may mean something else by now, as when a daemon lets go of its terminal.
        if stream is not self._of or now - self._looked > _LOOK_AGAIN:
            self._look(now)
        if self._output is None:
            stream.write(text)
            stream.flush()
        else:
            line = text.encode(stream.encoding, "backslashreplace")
            self._output.put(line, len(line))

    def _look(self, now: float) -> None:
        self._of, self._looked = self.stream, now
        self._output: Output | None = None  # of a stream that is closed: writing says so
        with contextlib.suppress(OSError, ValueError):
            self._output = output_of(self.stream)

    def flush(self) -> None:
        """Wait until the reader has taken what waits for it: two seconds at most, once."""
        if self._output is None:
            super().flush()
        else:
            self._output.flush()


class JsonLogHandler(StreamHandler):
    """Write each record as one line of JSON to ``stream``; None is standard error. A formatter is not used.

    Raises:
        ConfigurationError: LOG_JSON_DIALECT is none.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.dialect = load(HandlerSettings, {}).json_dialect
        super().__init__(stream)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON (ASCII, strict, 32 kB at most, no secret), without its end. Never raises."""
        return line_of(record, self.dialect)


class ConsoleLogHandler(StreamHandler):
    """Write each record as one aligned line: time, level, logger, message, extras, request id; then the traceback.

    In colour where the stream is a terminal (and NO_COLOR is not set). A formatter is not used.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        message, problem = message_of(record.__dict__)
        added = {name: loads(value) if value[0] == '"' else value for name, value in extras_of(record, Walk()).items()}
        if problem is not None:
            added["format_error"] = problem
        if (context := current()) is not None:
            added["request_id"] = context.request_id
        tail = "".join(f" {name}={value}" for name, value in added.items())
        moment = f"{time.strftime('%H:%M:%S', time.localtime(record.created))}.{int(record.msecs):03d}"
        colour = faint = end = ""
        # https://no-color.org
        if not os.environ.get("NO_COLOR") and hasattr(self.stream, "isatty") and self.stream.isatty():
            colour, faint, end = f"\033[{_COLOURS[syslog_level(record.levelno)]}m", "\033[2m", "\033[0m"
        line = f"{faint}{moment}{end} {colour}{text_of(record.levelname):8}{end} {faint}{text_of(record.name):24}{end}"
        line += f" {_visible(safe(message))}"
        if tail:
            line += f" {faint}{_visible(safe(tail))}{end}"
        trace = full_message(record)
        return line if trace is None else f"{line}\n{_visible(trace).rstrip()}"


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
