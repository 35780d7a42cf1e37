"""The statsd server."""

import socket

import pytest

from c2c_testing.sinks import Metric
from c2c_testing.sinks._statsd import parse


def send(sink, data):
    """Send one datagram by UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(data, (sink.host, sink.port))


def send_unix(sink, data):
    """Send one datagram by the unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(data, sink.unix_address.removeprefix("unix://"))


@pytest.mark.parametrize(
    ("line", "metrics"),
    [
        ("gorets:1|c", [Metric("gorets", 1, "c")]),
        ("gorets:1|c|@0.1", [Metric("gorets", 1, "c", 0.1)]),
        ("glork:320|ms|@0.1", [Metric("glork", 320, "ms", 0.1)]),
        ("gaugor:333|g", [Metric("gaugor", 333, "g")]),
        ("gaugor:-10|g", [Metric("gaugor", -10, "g", relative=True)]),
        ("gaugor:+4|g", [Metric("gaugor", 4, "g", relative=True)]),
        ("uniques:765|s", [Metric("uniques", "765", "s")]),
        ("a.b-c.D_1:12.345|ms|#k:v,k2:v2", [Metric("a.b-c.D_1", 12.345, "ms", 1, {"k": "v", "k2": "v2"})]),
        ("a:1e3|d|@1|#flag,url:http://x/y", [Metric("a", 1000, "d", 1, {"flag": "", "url": "http://x/y"})]),
        ("a:1:2.5:3|ms", [Metric("a", 1, "ms"), Metric("a", 2.5, "ms"), Metric("a", 3, "ms")]),
    ],
)
def test_reads_statsd(line, metrics):
    """The examples of the format, tags and packed values of DogStatsD."""
    assert parse(line) == metrics


@pytest.mark.parametrize(
    "line",
    [
        "",
        "a",
        "a:1",
        "a:1|",
        "a:1|x",
        "a:|c",
        ":1|c",
        "a..b:1|c",
        ".a:1|c",
        "a.:1|c",
        "a b:1|c",
        "a/b:1|c",
        "é:1|c",
        "a:x|c",
        "a:nan|g",
        "a:1:|ms",
        "a:-1|ms",
        "a:1|c|@0",
        "a:1|c|@1.5",
        "a:1|c|@1.5.1",
        "a:1|c|#",
        "a:1|c|#k:",
        "a:1|c|#:v",
        "a:1|c|#k:v,",
        "a:1|c|#k:v,k:w",
        "a:1|c|#k:v|@0.1",
        "a:1|c\n",
    ],
)
def test_refuses_what_is_not_statsd(line):
    """A server that guesses would hide what we send wrong."""
    with pytest.raises(ValueError, match=r"line|rate|tag|number|duration"):
        parse(line)


@pytest.mark.parametrize("sender", [send, send_unix])
def test_receives_both_ways(statsd_sink, sender):
    """Several lines in a datagram, by UDP and by the unix socket."""
    sender(statsd_sink, b"a.b:1|c|#k:v\na.c:2|g")
    assert statsd_sink.wait(count=2) == [Metric("a.b", 1, "c", 1, {"k": "v"}), Metric("a.c", 2, "g")]
    assert statsd_sink.wait("a.c") == statsd_sink.named("a.c") == [Metric("a.c", 2, "g")]
    assert statsd_sink.wait(lambda metric: metric.tags.get("k") == "v")
    assert statsd_sink.datagrams == [b"a.b:1|c|#k:v\na.c:2|g"]
    statsd_sink.clear()
    assert statsd_sink.metrics == []


def test_waiting_ends_with_what_is_there(statsd_sink):
    """The failure shows what came instead."""
    send(statsd_sink, b"a:1|c")
    statsd_sink.wait("a")
    with pytest.raises(AssertionError, match=r"0 of 1 came in 0.1 s[^$]*Metric\(name='a'"):
        statsd_sink.wait("b", timeout=0.1)


def test_keeps_what_is_wrong(statsd_sink):
    """Malformed lines, bytes and sizes are errors, and do not hide what is right beside them."""
    send(statsd_sink, b"wrong\na:1|c\n")
    send(statsd_sink, b"\xff:1|c")
    send(statsd_sink, b"\n".join([b"long:1|c"] * 200))
    statsd_sink.wait("long", count=200)
    assert statsd_sink.named("a")
    assert [error[:20] for error in statsd_sink.errors] == [
        "Not a statsd line: '",
        "Not a statsd line: '",
        "Not UTF-8: b'\\xff:1|",
        "A datagram of 1799 b",
    ]
    statsd_sink.clear()


def test_a_test_that_sends_nonsense_fails(pytester):
    """The fixture looks at the errors when the test is over."""
    pytester.makepyfile(
        """
        import socket

        def test_it(statsd_sink):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"nonsense", (statsd_sink.host, statsd_sink.port))
                client.sendto(b"a:1|c", (statsd_sink.host, statsd_sink.port))
            statsd_sink.wait("a")
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*Not a statsd line: 'nonsense'*"])


def test_is_down_and_back(statsd_sink):
    """Down, a sender is refused; back, it has the same port and path."""
    address = (statsd_sink.host, statsd_sink.port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(address)
        with statsd_sink.down():
            client.send(b"a:1|c")
            with pytest.raises(ConnectionRefusedError):
                client.recv(1)
            with pytest.raises(FileNotFoundError):
                send_unix(statsd_sink, b"a:1|c")
        client.send(b"b:1|c")
    send_unix(statsd_sink, b"c:1|c")
    statsd_sink.wait("b")
    statsd_sink.wait("c")
    assert not statsd_sink.named("a")
    assert statsd_sink.address == f"127.0.0.1:{address[1]}"
