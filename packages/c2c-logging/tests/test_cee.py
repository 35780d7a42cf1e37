"""CEE to syslog: each transport, every size, and servers that are away."""

import json
import logging
import os
import socket
import time

import pytest

from c2c_broadcast import ConfigurationError
from c2c_logging import PyramidCeeSysLogHandler, _handlers, _syslog
from c2c_logging._syslog import SyslogQueue
from c2c_testing.sinks import SyslogSink


@pytest.fixture
def logger():
    """A function that makes a logger with a handler of these arguments; the handlers are closed at the end."""
    handlers = []

    def make(*args, cls=PyramidCeeSysLogHandler, **kwargs):
        handler = cls(*args, **kwargs)
        handlers.append(handler)
        logger = logging.Logger("app")  # noqa: LOG001 # of this test alone
        logger.addHandler(handler)
        return logger

    yield make
    for handler in handlers:
        handler.close()


@pytest.mark.parametrize(
    ("attribute", "options", "transport"),
    [
        ("address", {}, "udp"),
        ("address", {"socktype": socket.SOCK_DGRAM}, "udp"),
        ("tcp_address", {"socktype": socket.SOCK_STREAM}, "tcp"),
        ("tcp_address", {"socktype": "TCP"}, "tcp"),
        ("path", {}, "unix"),
    ],
)
def test_each_transport(logger, syslog_sink, strict, attribute, options, transport):
    """One message a record, with its priority and the CEE cookie."""
    address = getattr(syslog_sink, attribute)
    log = logger(str(address) if attribute == "path" else list(address), facility="local3", **options)
    log.warning("hello\nworld", extra={"answer": 42})
    log.error("again")
    first, second = syslog_sink.wait(count=2)
    assert first.transport == transport
    assert (first.facility, first.severity, second.severity) == (19, 4, 3)
    assert first.text.startswith(": @cee: {")
    line = strict(first.text.removeprefix(": @cee: "))
    assert line["msg"] == "hello\nworld"
    assert line["answer"] == 42
    assert second.cee()["msg"] == "again"


def test_a_unix_stream_socket(logger, tmp_path):
    """A syslog server that takes streams only is found out."""
    path = str(tmp_path / "log.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()
        server.settimeout(30)
        logger(path).info("hello")
        connection, _ = server.accept()
        with connection, connection.makefile() as lines:
            assert json.loads(lines.readline().partition("@cee: ")[2])["msg"] == "hello"


def test_a_handler_can_be_extended(logger, syslog_sink):
    """``format`` gives the JSON, ``emit`` sends it."""

    class Mine(PyramidCeeSysLogHandler):
        def format(self, record):
            return json.dumps({**json.loads(super().format(record)), "team": "blue"})

        def emit(self, record):
            if record.msg != "not this":
                super().emit(record)

    log = logger(syslog_sink.address, cls=Mine)
    log.info("not this")
    log.info("this")
    (message,) = syslog_sink.wait()
    assert message.cee()["team"] == "blue"
    assert message.cee()["msg"] == "this"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_bad_extension_stops_nothing(logger, syslog_sink, capfd, transport):
    """What it can't write is said once; a text that is none of Unicode does not stop those behind it."""

    class Bad(PyramidCeeSysLogHandler):
        def format(self, record):
            if record.msg == "raises":
                raise ValueError("password=hidden-word")
            return {"none": None, "odd": '"\ud800"'}.get(record.msg, '"good"')

    address = syslog_sink.address if transport == "udp" else syslog_sink.tcp_address
    log = logger(address, socktype=transport, cls=Bad)
    for message in ("raises", "none", "odd", "good"):
        log.info(message)
    assert [one.text for one in syslog_sink.wait(count=2)] == [': @cee: "\\ud800"', ': @cee: "good"']
    said = capfd.readouterr().err
    assert said.count("log lines can't be sent to syslog: ValueError") == 1
    assert "hidden-word" not in said
    assert said.count("\n") == 1


def test_datagrams_are_cut_to_what_the_socket_takes(logger, tmp_path, strict):
    """A socket of a small buffer gets less, but JSON still, and the next short line whole."""
    path = str(tmp_path / "log.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(30)
        log = logger(path)
        log.info("connects")
        server.recv(100_000)
        handler = log.handlers[0]
        handler._queue._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        log.info("long %s", "x" * 20_000, extra={"more": ["y" * 500] * 20})
        log.info("short")
        long = strict(server.recv(100_000).decode().partition("@cee: ")[2])
        short = strict(server.recv(100_000).decode().partition("@cee: ")[2])
    assert long["truncated"] is True
    assert long["msg"].startswith("long x")
    assert (short["msg"], "truncated" in short) == ("short", False)


def test_a_server_that_is_away_blocks_nothing(logger, syslog_sink, capfd):
    """Lines are kept for it; it is said once that it is away, and once that it is back; nothing is lost."""
    log = logger(syslog_sink.tcp_address, socktype="tcp")
    with syslog_sink.down():
        start = time.monotonic()
        for number in range(100):
            log.info("line %s", number)
        assert time.monotonic() - start < 20
        deadline = time.monotonic() + 30
        while not log.handlers[0]._queue.is_away and time.monotonic() < deadline:
            time.sleep(0.05)
        log.handlers[0].flush()
    messages = syslog_sink.wait(count=100)
    assert [message.cee()["msg"] for message in messages] == [f"line {number}" for number in range(100)]
    log.handlers[0].flush()
    said = capfd.readouterr().err
    assert said.count("is away") == 1
    assert said.count("works again") == 1
    assert "Traceback" not in said


def test_nobody_takes_datagrams(logger, syslog_sink, capfd):
    """That each second one is refused is said once; "works again" once some were sent and nobody refused them."""
    log = logger(syslog_sink.address)
    with syslog_sink.down():
        for number in range(20):
            log.info("line %s", number)
            time.sleep(0.05)
    log.info("back")
    syslog_sink.wait(lambda message: message.cee()["msg"] == "back")
    assert not log.handlers[0]._queue.is_away
    time.sleep(1.1)
    log.info("sure")
    syslog_sink.wait(lambda message: message.cee()["msg"] == "sure")
    log.handlers[0].flush()
    said = capfd.readouterr().err
    assert said.count("is away") == 1
    assert said.count("works again") == 1
    assert len({message.cee()["msg"] for message in syslog_sink.messages}) == 22


def test_each_second_datagram_is_refused(monkeypatch, capfd):
    """A host says it late, of the one before: the server is away once, and back when nothing was refused for long."""
    monkeypatch.setattr(_handlers, "_PAUSE", 0.0)
    queue = SyslogQueue(("192.0.2.1", 514), None)
    outcomes = iter([ConnectionRefusedError(), None] * 3)

    def work():
        if (refused := next(outcomes)) is not None:
            raise refused

    for _ in range(3):
        assert queue.until_it_works(work)
    said = capfd.readouterr().err
    assert (said.count("is away"), said.count("works again")) == (1, 0)
    queue._failed -= 2
    assert queue.until_it_works(lambda: None)
    assert "works again" in capfd.readouterr().err


def test_a_server_that_hung_up_loses_nothing(logger, syslog_sink):
    """TCP takes one more line for a connection that the server closed: it is not given one."""
    log = logger(syslog_sink.tcp_address, socktype="tcp")
    log.info("before")
    syslog_sink.wait(count=1)
    with syslog_sink.down():
        pass
    log.info("after")
    assert [message.cee()["msg"] for message in syslog_sink.wait(count=2)] == ["before", "after"]


def test_a_server_that_moved(monkeypatch):
    """Its name is resolved again every minute; where that fails, lines go where they went."""
    places = []

    def getaddrinfo(*_args, **_options):
        if not places:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", places[0])]

    def send_after(seconds, *found):
        places[:] = found
        sender._resolved -= seconds
        sender.consume([("<12>: @cee: ", f'{{"msg":"{seconds}"}}')])

    with SyslogSink() as old, SyslogSink() as new:
        sender = SyslogQueue(("syslog.example", 514), None)
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", getaddrinfo)
            send_after(0, old.address)
            send_after(20, new.address)
            send_after(41)
            send_after(21, new.address)
            send_after(42, new.address)
        assert [message.cee()["msg"] for message in old.wait(count=4)] == ["0", "20", "41", "21"]
        assert [message.cee()["msg"] for message in new.wait(count=1)] == ["42"]
        sender.close()


def test_the_first_address_of_a_name_is_not_the_servers(monkeypatch, logger):
    """A localhost that is ``::1`` first, where the server listens at 127.0.0.1 only: no line is lost."""
    with SyslogSink() as sink:
        host, port = sink.address
        found = [(socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port, 0, 0))]
        found += [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (host, port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
        log = logger(("localhost", port))
        for number in range(20):
            log.info("%s", number)
        assert [message.cee()["msg"] for message in sink.wait(count=20)] == [str(number) for number in range(20)]


def test_a_server_that_accepts_and_does_not_read(monkeypatch, logger, capfd):
    """It is away, once; when it reads again it gets every line whole, in order, on the same connection."""
    monkeypatch.setattr(_syslog, "_TIMEOUT", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.settimeout(30)
        log = logger(server.getsockname(), socktype="tcp")
        begun = time.monotonic()
        for number in range(600):
            log.info("line %s %s", number, "x" * 10_000)
        assert time.monotonic() - begun < 20, "nobody who logs waits"
        wait_until(lambda: log.handlers[0]._queue.is_away)
        time.sleep(2)
        said = capfd.readouterr().err
        assert (said.count("does not read"), said.count("works again")) == (1, 0)
        connection, _ = server.accept()
        with connection, connection.makefile() as lines:
            found = [json.loads(lines.readline().partition("@cee: ")[2])["msg"].split()[1] for _ in range(600)]
        assert found == [str(number) for number in range(600)]
        wait_until(lambda: not log.handlers[0]._queue.is_away)


def wait_until(condition):
    """Wait for a condition, on a busy machine too."""
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def test_a_name_that_does_not_resolve(logger, capfd):
    """The service starts and logs; one line says what is wrong."""
    log = logger(("syslog.invalid", 514))
    start = time.monotonic()
    for _ in range(50):
        log.info("x")
    assert time.monotonic() - start < 20
    deadline = time.monotonic() + 60
    while not log.handlers[0]._queue.is_away and time.monotonic() < deadline:
        time.sleep(0.05)
    assert capfd.readouterr().err.count("syslog.invalid:514: is away") == 1


def test_memory_is_bounded(logger, tmp_path):
    """More than 10,000 lines for a server that is away are dropped and counted."""
    log = logger(str(tmp_path / "nobody"))
    for number in range(12_000):
        log.info("%s", number)
    queue = log.handlers[0]._queue
    assert len(queue._items) + queue._held <= 10_000
    assert queue._dropped >= 2_000 - 100


def test_closing_is_quick_while_the_server_is_away(logger, tmp_path):
    """The end of a process does not wait for a syslog server."""
    log = logger(str(tmp_path / "nobody"))
    log.info("x")
    deadline = time.monotonic() + 30
    while not log.handlers[0]._queue.is_away and time.monotonic() < deadline:
        time.sleep(0.05)
    start = time.monotonic()
    log.handlers[0].flush()
    log.handlers[0].close()
    assert time.monotonic() - start < 10


def test_what_is_queued_is_sent_at_the_end(logger, syslog_sink):
    """Closing sends what there is."""
    log = logger(syslog_sink.address)
    for number in range(200):
        log.info("%s", number)
    log.handlers[0].close()
    assert len(syslog_sink.wait(count=200)) == 200


def test_after_a_fork_the_child_sends_its_own(logger, syslog_sink):
    """A handler built, and used, before a fork works in the child; nothing is sent twice."""
    log = logger(syslog_sink.tcp_address, socktype="tcp")
    log.info("parent")
    syslog_sink.wait()
    before = log.handlers[0]._queue._socket.getsockname()
    pid = os.fork()
    if pid == 0:
        log.info("child")
        log.handlers[0].flush()
        log.info("own connection: %s", log.handlers[0]._queue._socket.getsockname() != before)
        log.handlers[0].close()
        os._exit(0)
    os.waitpid(pid, 0)
    log.info("parent again")
    texts = [message.cee()["msg"] for message in syslog_sink.wait(count=4)]
    assert sorted(texts) == ["child", "own connection: True", "parent", "parent again"]


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"address": ("localhost", "many")}, "address"),
        ({"address": ("localhost",)}, "address"),
        ({"address": ("", 514)}, "address"),
        ({"address": ("localhost", 99999)}, "address"),
        ({"address": 514}, "address"),
        ({"address": ""}, "address"),
        ({"facility": "nobody"}, "facility"),
        ({"facility": 999}, "facility"),
        ({"socktype": "pigeon"}, "socktype"),
        ({"socktype": 7}, "socktype"),
    ],
)
def test_bad_arguments_are_named(kwargs, named):
    """The error says which argument, and what it may be."""
    with pytest.raises(ConfigurationError, match=f"^{named} of a syslog handler.*must be"):
        PyramidCeeSysLogHandler(**kwargs)


def test_the_port_may_be_text(logger, syslog_sink):
    """As it comes from an environment variable."""
    logger((syslog_sink.host, str(syslog_sink.port))).info("x")
    assert syslog_sink.wait()
