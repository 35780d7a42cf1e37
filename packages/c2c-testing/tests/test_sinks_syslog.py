"""The syslog server."""

import logging
import logging.handlers
import socket

import pytest

from c2c_testing.sinks import SyslogMessage
from c2c_testing.sinks._syslog import frames, parse


@pytest.mark.parametrize("transport", ["udp", "tcp", "unix"])
def test_receives_from_the_standard_handler(syslog_sink, transport):
    """The standard library's handler reaches it by each transport."""
    address = {"udp": syslog_sink.address, "tcp": syslog_sink.tcp_address, "unix": str(syslog_sink.path)}[transport]
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    handler = logging.handlers.SysLogHandler(address, facility=handler_facility(), socktype=kind)
    handler.handle(logging.LogRecord("some.logger", logging.WARNING, __file__, 1, "héllo %s", ("you",), None))
    handler.handle(logging.LogRecord("some.logger", logging.ERROR, __file__, 1, '@cee: {"msg": "x"}', (), None))
    first, second = syslog_sink.wait(count=2)
    handler.close()
    assert first == SyslogMessage(17, 4, "héllo you", transport)
    assert (second.severity, second.cee()) == (3, {"msg": "x"})
    with pytest.raises(ValueError, match="No @cee"):
        first.cee()


def handler_facility():
    """Return a facility that is not the default: 17."""
    return logging.handlers.SysLogHandler.LOG_LOCAL1


@pytest.mark.parametrize("data", [b"", b"text", b"<>x", b"<192>x", b"<01>x", b"<1x", b"<14>\xff"])
def test_refuses_what_is_not_syslog(data):
    """The priority is wanted, in range and without leading zeros; the text is UTF-8."""
    with pytest.raises(ValueError, match=r"No priority|utf-8"):
        parse(data, "udp")


def test_cuts_a_stream_into_frames():
    """RFC 6587: counted frames, and frames ended by a line feed or NUL; the rest is kept."""
    assert frames(b"5 <1>ab4 <1>c<1>d\n<1>e\0<1>f") == ([b"<1>ab", b"<1>c", b"<1>d", b"<1>e"], b"<1>f")
    assert frames(b"10 <1>") == ([], b"10 <1>")


def test_a_stream_in_pieces_is_one_message(syslog_sink):
    """TCP may cut anywhere; what has no end is an error."""
    with socket.create_connection(syslog_sink.tcp_address) as client:
        client.sendall(b"<1")
        client.sendall(b"4>whole\n<14>half")
        syslog_sink.wait()
    assert [message.text for message in syslog_sink.messages] == ["whole"]
    syslog_sink.stop()
    assert syslog_sink.errors == ["A message without end: b'<14>half'"]
    syslog_sink.clear()


def test_is_down_and_back(syslog_sink):
    """Down, connections are closed and refused; back, the ports are the same."""
    before = syslog_sink.tcp_address
    with socket.create_connection(before) as client:
        client.settimeout(30)
        client.sendall(b"<14>a\n")
        syslog_sink.wait()
        with syslog_sink.down():
            assert client.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(before)
    assert syslog_sink.tcp_address == before
    with socket.create_connection(before) as client:
        client.sendall(b"<14>b\n")
        syslog_sink.wait(lambda message: message.text == "b")
