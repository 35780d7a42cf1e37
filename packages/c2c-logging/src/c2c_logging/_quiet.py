"""A stream handler that never makes whoever logs suffer for the stream."""

import logging
from typing import Any, TextIO

from c2c_logging._complaint import Complaint


class QuietStreamHandler(logging.StreamHandler[TextIO]):
    """Write what ``format(record)`` returns, and a new line; complain once about a stream that fails."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._complaint = Complaint("log lines can't be written")

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter and write the record: what logging does, in half the time."""
        if self.filters:
            kept: Any = self.filter(record)
            if not kept:
                return kept
            if isinstance(kept, logging.LogRecord):  # from Python 3.12 on, a filter may replace the record
                record = kept
        lock = self.lock
        if lock is None:
            self.emit(record)
        else:
            with lock:
                self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        try:
            line = self.format(record)
            self.stream.write(line + self.terminator)
            self.stream.flush()
        except Exception:  # noqa: BLE001 # whoever logs must not suffer for it
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 # the name of logging
        """Say once what is wrong."""
        self._complaint.error()
