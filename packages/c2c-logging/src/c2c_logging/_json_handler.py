"""``JsonLogHandler``: a line of JSON a record."""

import logging
from typing import TextIO

from c2c_logging._environment import handler_settings
from c2c_logging._fields import host_name
from c2c_logging._line import line_of
from c2c_logging._quiet import QuietStreamHandler
from c2c_logging._records import make_records_quickly


class JsonLogHandler(QuietStreamHandler):
    """Write each record as one line of JSON.

    The line is ASCII, strict JSON (RFC 8259), at most 32 kB, and has no secret in it. A formatter is not used. To add
    to the line, override ``format(record)``, which returns it without its end.

    Args:
        stream: where to write; None is standard error

    Raises:
        ConfigurationError: LOG_JSON_DIALECT is none.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self.dialect = handler_settings().json_dialect
        host_name()  # now, for it may ask the DNS
        make_records_quickly()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON, without an end of line. Never raises."""
        return line_of(record, self.dialect)
