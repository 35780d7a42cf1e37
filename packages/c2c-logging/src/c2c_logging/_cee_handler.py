"""``PyramidCeeSysLogHandler``: a line of JSON a record, to a syslog server, with the CEE cookie."""

import logging
import socket
from collections.abc import Sequence
from logging.handlers import SYSLOG_UDP_PORT, SysLogHandler

from c2c_broadcast import ConfigurationError
from c2c_logging._background import Background, Bounds, QueueHandler
from c2c_logging._environment import handler_settings
from c2c_logging._fields import host_name, syslog_level
from c2c_logging._line import line_of
from c2c_logging._records import make_records_quickly
from c2c_logging._syslog_sender import Line, SyslogSender

_KINDS = {
    "udp": socket.SOCK_DGRAM,
    "dgram": socket.SOCK_DGRAM,
    "tcp": socket.SOCK_STREAM,
    "stream": socket.SOCK_STREAM,
}
_BOUNDS = Bounds(items=10_000, size=8_000_000, batch=100, wait=0.0)
_AT_EXIT = 2.0
_HIGHEST_PORT = 65_535

Address = str | tuple[str, int] | Sequence[str | int]


class PyramidCeeSysLogHandler(QueueHandler):
    """Send each record to syslog as ``: @cee: {json}`` (what rsyslog's mmjsonparse reads).

    Lines are sent by a thread of their own: a server that is away, slow or of an unknown name blocks nothing, and is
    complained about once. Up to 10,000 lines wait for it. To add to the JSON, override ``format(record)``.

    Args:
        address: host and port as tuple or list, or the path of a unix socket
        facility: number or name of the syslog facility
        socktype: ``socket.SOCK_DGRAM`` (UDP, the default) or ``socket.SOCK_STREAM`` (TCP), or ``"udp"``, ``"tcp"``

    Raises:
        ConfigurationError: An argument is none of those; whether the server can be reached does not matter.
    """

    def __init__(
        self,
        address: Address = ("localhost", SYSLOG_UDP_PORT),
        facility: int | str = SysLogHandler.LOG_USER,
        socktype: socket.SocketKind | str | None = None,
    ) -> None:
        super().__init__("log lines can't be sent to syslog")
        self.dialect = handler_settings().json_dialect
        self.address = _address(address)
        self.facility = _facility(facility)
        self._sender = SyslogSender(self.address, _kind(socktype), self._take_dropped)
        self._queue: Background[Line] = Background(
            "c2c-logging-syslog",
            self._sender.send,
            _BOUNDS,
            is_away=lambda: self._sender.is_away,
            at_end=self._sender.close,
        )
        host_name()
        make_records_quickly()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON. Never raises."""
        return line_of(record, self.dialect)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record over to the thread that sends."""
        try:
            priority = (self.facility << 3) | syslog_level(record.levelno)
            text = self.format(record)
            self._queue.put(Line(f"<{priority}>: @cee: ", text), len(text))
        except Exception:  # noqa: BLE001 # whoever logs must not suffer for it
            self.handleError(record)

    def takes(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 # whatever it is
        """Tell whether a record is to be sent: not what is logged while sending."""
        return not self._queue.is_own_thread

    def _take_dropped(self) -> int:
        return self._queue.take_dropped()

    def flush(self) -> None:
        """Wait until all is sent: two seconds at most, not for a server that is away, nor in ``dictConfig``."""
        self._queue.flush(_AT_EXIT)

    def close(self) -> None:
        """Have all sent that can be, and end the thread."""
        self._queue.close(_AT_EXIT)
        super().close()


def _address(given: Address) -> str | tuple[str, int]:
    if isinstance(given, str) and given:
        return given
    try:
        host, port = given
        number = int(port)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"address of a syslog handler: {given!r}: must be (host, port) or the path of a unix socket"
        ) from None
    if not isinstance(host, str) or not host or not 0 < number <= _HIGHEST_PORT:
        raise ConfigurationError(f"address of a syslog handler: {given!r}: must be a host's name and a port")
    return host, number


def _facility(given: int | str) -> int:
    names = SysLogHandler.facility_names
    number = names.get(given.lower()) if isinstance(given, str) else given
    if number is None or number not in names.values():
        raise ConfigurationError(f"facility of a syslog handler: {given!r}: must be one of {', '.join(names)}")
    return number


def _kind(given: socket.SocketKind | str | None) -> socket.SocketKind | None:
    if given is None:
        return None
    kind = _KINDS.get(given.lower()) if isinstance(given, str) else given
    if kind not in _KINDS.values():
        raise ConfigurationError(f"socktype of a syslog handler: {given!r}: must be udp or tcp")
    return kind
