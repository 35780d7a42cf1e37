"""``JsonLogHandler``: a line of JSON a record."""

import logging
import sys
from typing import TextIO

from c2c_logging._complaint import Complaint
from c2c_logging._environment import handler_settings
from c2c_logging._fields import host_name
from c2c_logging._line import line_of


class JsonLogHandler(logging.StreamHandler[TextIO]):
    """Write each record as one line of JSON.

    The line is ASCII, strict JSON (RFC 8259), at most 32 kB, and has no secret in it. A formatter is not used. To add
    to the line, override ``format(record)``, which returns it without its end.

    Args:
        stream: where to write; None is standard error
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self.dialect = handler_settings().json_dialect
        self._complaint = Complaint("log lines can't be written")
        host_name()  # now, for it may ask the DNS

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON, without an end of line. Never raises."""
        return line_of(record, self.dialect)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; a stream that fails is complained about once."""
        try:
            line = self.format(record)
            self.stream.write(line + self.terminator)
            self.stream.flush()
        except Exception:  # noqa: BLE001 # whoever logs must not suffer for it
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 # the name of logging
        """Say once what is wrong with the stream."""
        error = sys.exc_info()[1]
        if logging.raiseExceptions:
            self._complaint.wrong(f"{type(error).__name__}: {error}")
