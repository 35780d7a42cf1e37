"""Sending to a statsd server over the network."""

import contextlib
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import c2c_stats as stats
from c2c_stats._series import KEPT
from c2c_stats._sink import SINK
from c2c_stats._statsd import DROPPED, SENT
from c2c_testing.sinks import StatsdSink


def configure(address, **settings):
    """Send to an address."""
    given = {f"c2c.{name}": value for name, value in settings.items()}
    stats.init_backends({"c2c.statsd_address": address, "c2c.statsd_flush_interval": "0.05", **given})


def total(name):
    """Return the value of one of our own counters."""
    return sum(series.cells[0] for series in SINK.all() if series.identity.name == name)


def wait_until(true):
    """Wait until something is true, for thirty seconds."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("transport", ["address", "unix_address"])
def test_all_kinds(statsd_sink, transport):
    """Counters add up, gauges keep the last value, timers go one by one; tags and prefix are there."""
    configure(getattr(statsd_sink, transport), statsd_prefix="my.app", statsd_tag_Env="test")
    for _ in range(10):
        stats.increment_counter(["c"], 2, tags={"a": "b"})
        with stats.timer_context(["t"]):
            pass
    stats.set_gauge(["g"], 1)
    stats.set_gauge(["g"], -7.5)
    SINK.stop()
    (counter,) = statsd_sink.wait("my.app.c")
    assert (counter.value, counter.kind, counter.tags) == (20, "c", {"a": "b", "env": "test"})
    assert len(statsd_sink.wait("my.app.t", count=10)) == 10
    values = [metric.value for metric in statsd_sink.wait("my.app.g", count=2)]
    assert values == [0, -7.5]
    assert len(statsd_sink.datagrams) <= 3


def test_ipv6():
    """The address [::1]:port."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.bind(("::1", 0))
        server.settimeout(30)
        configure(f"[::1]:{server.getsockname()[1]}")
        stats.increment_counter(["a"])
        assert server.recv(2000) == b"a:1|c"


def test_interval_0_sends_at_once(statsd_sink):
    """Each metric is on its way at once, in a datagram without others; nothing waits for an interval."""
    configure(statsd_sink.address, statsd_flush_interval="0")
    for _ in range(3):
        stats.increment_counter(["c"])
        wait_until(lambda: sum(metric.value for metric in statsd_sink.named("c")) == total(("c",)))
    stats.set_gauge(["g"], 1)
    with stats.timer_context(["t"]):
        pass
    statsd_sink.wait("t")
    assert [data.split(b":")[0] for data in statsd_sink.datagrams] == [b"c", b"c", b"c", b"g", b"t"]
    assert statsd_sink.datagrams[0] == b"c:1|c"
    # Counted after it is sent: the sink may be quicker.
    wait_until(lambda: total(SENT) == 5)


def test_bursts_lose_nothing(statsd_sink):
    """More values than fit any buffer arrive, because whoever records them sends them."""
    configure(statsd_sink.address, statsd_flush_interval="10", statsd_multi_value="true")
    timer = stats.bound_timer(["t"])
    for _ in range(30_000):
        timer.observe(1)
    SINK.stop()
    assert (total(SENT), total(DROPPED)) == (30_000, 0)
    assert len(statsd_sink.wait("t", count=30_000, timeout=60)) == 30_000


def test_no_thread_to_send(statsd_sink, monkeypatch, caplog):
    """Where the system has no thread to give that is said once; what is recorded goes when it has one again."""
    monkeypatch.setattr("c2c_stats._sink._RETRY", 0.0)
    configure(statsd_sink.address)
    before = threading.stack_size(1 << 46)
    try:
        for _ in range(1000):
            stats.increment_counter(["a"])
            stats.timer_context(["t"]).stop()
    finally:
        threading.stack_size(before)
    assert caplog.text.count("statsd can't be started") == 1
    stats.increment_counter(["a"])
    wait_until(lambda: sum(metric.value for metric in statsd_sink.named("a")) == 1001)


def test_an_interval_of_an_hour(statsd_sink):
    """What waits is sent at the end."""
    configure(statsd_sink.address, statsd_flush_interval="3600")
    stats.increment_counter(["a"], 3)
    SINK.stop()
    assert [metric.value for metric in statsd_sink.wait("a")] == [3]


def test_self_metrics(statsd_sink):
    """What was sent and what was dropped is counted; sending is not itself something to send."""
    configure(statsd_sink.address)
    for _ in range(5):
        stats.increment_counter(["a"])
        stats.timer(["t"]).stop()
    SINK.stop()
    statsd_sink.wait("t", count=5)
    sent = total(SENT)
    time.sleep(0.3)
    assert total(SENT) == sent == len(statsd_sink.metrics)
    assert not statsd_sink.named("statsd.sent")


def test_server_that_is_absent_and_comes_back(caplog, tmp_path):
    """Counters and gauges wait for the server, timers are dropped and counted, it is said once, nothing is slow."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "statsd.sock"
    configure(f"unix://{path}")
    slowest = 0.0
    for _ in range(200):
        start = time.perf_counter()
        stats.increment_counter(["a"])
        stats.timer(["t"]).stop()
        slowest = max(slowest, time.perf_counter() - start)
        time.sleep(0.002)
    stats.set_gauge(["g"], 5)
    deadline = time.monotonic() + 30
    while not total(DROPPED) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert total(DROPPED) > 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        server.settimeout(30)
        lines = b""
        while b"g:5|g" not in lines or b"a:" not in lines:
            lines += server.recv(9000) + b"\n"
        assert b"a:200|c" in lines.split(b"\n")
    assert slowest < 10
    assert len([record for record in caplog.records if "can't be reached" in record.getMessage()]) == 1


def test_name_that_does_not_resolve(caplog):
    """A name that nobody knows stops neither the start nor a request."""
    configure("no-such-host.invalid:8125")
    start = time.perf_counter()
    for _ in range(100):
        stats.increment_counter(["a"])
        stats.timer(["t"]).stop()
    assert time.perf_counter() - start < 20
    deadline = time.monotonic() + 60
    while total(DROPPED) < 100 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert total(DROPPED) == 100
    wait_until(lambda: "no-such-host.invalid:8125" in caplog.text)  # it is said after it was counted


def test_server_that_moved(monkeypatch):
    """The name is resolved again when sending fails, and every minute."""
    from c2c_stats._settings import Address
    from c2c_stats._statsd import Sender

    now = [0.0]
    with StatsdSink() as old, StatsdSink() as new:
        places = [old.port]
        sender = Sender(Address(host="127.0.0.1", port=1), clock=lambda: now[0])
        kind = (socket.AF_INET, socket.SOCK_DGRAM, 17, "")
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(*kind, ("127.0.0.1", places[0]))])
        assert sender.send(b"a:1|c")
        places[0] = new.port
        now[0] = 59
        assert sender.send(b"a:2|c")
        now[0] = 61
        assert sender.send(b"a:3|c")
        assert [metric.value for metric in old.wait("a", count=2)] == [1, 2]
        assert [metric.value for metric in new.wait("a")] == [3]
        sender.close()


@pytest.mark.parametrize("interval", ["0.05", "0"])
def test_port_that_refuses(statsd_sink, caplog, interval):
    """A datagram that nobody listens to is not sent: said once, counters and gauges wait, back again is said once."""
    caplog.set_level(logging.INFO)
    statsd_sink.stop()
    configure(statsd_sink.address, statsd_flush_interval=interval)
    for _ in range(20):
        stats.increment_counter(["c"], 2)
        stats.set_gauge(["g"], 5)
        time.sleep(0.01)
    wait_until(lambda: "can't be reached" in caplog.text)
    time.sleep(0.3)
    assert total(SENT) == 0
    statsd_sink.start()
    stats.increment_counter(["d"])
    statsd_sink.wait("d")
    statsd_sink.wait("g")
    wait_until(lambda: sum(metric.value for metric in statsd_sink.named("c")) == 40)
    wait_until(lambda: total(SENT) == len(statsd_sink.metrics))
    wait_until(lambda: "again" in caplog.text)
    assert len([text for text in caplog.messages if "statsd at" in text]) == 2


def test_all_addresses_of_a_name_are_tried(monkeypatch, caplog):
    """A name that gives ::1 first reaches a server that listens on IPv4, with nothing lost and nothing to say."""
    with StatsdSink() as server:
        found = [
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", server.port, 0, 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", server.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_keywords: found)
        configure("localhost:8125")
        timer = stats.bound_timer(["t"])
        for _ in range(2_000):
            timer.observe(1)
        for _ in range(3):
            stats.increment_counter(["c"])
            time.sleep(0.1)
        SINK.stop()
        assert len(server.wait("t", count=2_000)) == 2_000
        assert sum(metric.value for metric in server.named("c")) == 3
        assert (total(SENT), total(DROPPED)) == (len(server.metrics), 0)
    assert not caplog.records


def test_refusal_that_comes_late(monkeypatch):
    """What another host refuses is known after the sending: it was not sent, and the next address has its turn."""
    from c2c_stats._settings import Address
    from c2c_stats._statsd import Sender

    with StatsdSink() as server:
        late = [None]

        class Late(Sender):
            def _pending(self):
                error, late[0] = late[0], None
                return error

        sender = Late(Address(host="localhost", port=server.port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            kind = (socket.AF_INET, socket.SOCK_DGRAM, 17, "")
            found = [(*kind, one) for one in (silent.getsockname(), ("127.0.0.1", server.port))]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            assert sender.send(b"a:1|c", "one")
            assert sender.send(b"a:2|c", "two")
            late[0] = OSError("refused")
            assert sender.settle() == ([], ["one", "two"])
        assert sender.send(b"a:4|c", "four")
        assert [metric.value for metric in server.wait("a")] == [4]
        assert sender.settle() == (["four"], [])
        sender.close()


def test_slow_server_never_costs_a_request(tmp_path):
    """A server that reads nothing at all: recording goes on as fast as ever, and what is too much is counted."""
    path = tmp_path / "slow.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        configure(f"unix://{path}")
        timer = stats.bound_timer(["t"])
        start = time.perf_counter()
        for _ in range(100_000):
            timer.observe(1)
        assert time.perf_counter() - start < 20
        begin = time.perf_counter()
        SINK.stop()
        assert time.perf_counter() - begin < 10
        assert total(DROPPED) > 0


def test_slow_server_of_a_process_with_many_files(tmp_path):
    """A socket beyond the 1,024 files that select(2) knows is waited for like any other."""
    from c2c_stats._settings import Address
    from c2c_stats._statsd import Sender

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    path = tmp_path / "slow.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server, contextlib.ExitStack() as files:
        server.bind(str(path))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            files.callback(os.close, os.dup(server.fileno()))
        sender = Sender(Address(path=str(path)))
        files.callback(sender.close)
        assert not all(sender.send(b"a:1|c") for _ in range(100_000))


FORKS = """
import os, sys
import c2c_stats as stats
stats.init_backends({"c2c.statsd_address": sys.argv[1], "c2c.statsd_flush_interval": "30"})
counter = stats.bound_counter(["c"])
for _ in range(1000):
    counter.inc()
stats.timer(["t"]).stop()
children = []
for _ in range(3):
    pid = os.fork()
    if not pid:
        for _ in range(100):
            counter.inc()
            stats.increment_counter(["plain"])
        stats.timer(["t"]).stop()
        sys.exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
counter.inc()
"""


def test_forks_lose_nothing_and_repeat_nothing(statsd_sink):
    """What was recorded before a fork is sent by the parent, once; children send theirs at their end."""
    subprocess.run([sys.executable, "-c", FORKS, statsd_sink.address], check=True, timeout=120)
    statsd_sink.wait("t", count=4)
    assert sum(metric.value for metric in statsd_sink.named("c")) == 1301
    assert sum(metric.value for metric in statsd_sink.named("plain")) == 300
    assert len(statsd_sink.named("t")) == 4


def test_flushed_at_exit(statsd_sink):
    """A script that ends at once has sent all."""
    program = (
        "import c2c_stats as s, sys; s.init_backends({'c2c.statsd_address': sys.argv[1]});"
        " s.increment_counter(['c'], 3); s.set_gauge(['g'], 4); s.timer(['t']).stop()"
    )
    subprocess.run([sys.executable, "-c", program, statsd_sink.address], check=True, timeout=120)
    assert statsd_sink.wait("c")[0].value == 3
    assert statsd_sink.wait("g")[0].value == 4
    statsd_sink.wait("t")


def test_signal_handler_may_record(statsd_sink):
    """A metric recorded by a signal handler, in the middle of one, does not block; none of either is lost."""
    configure(statsd_sink.address)
    alarms = []

    def handle(*_arguments):
        alarms.append(1)
        stats.increment_counter(["alarm"], tags={"n": str(time.time())})

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for number in range(3_000):
            stats.increment_counter(["c"], tags={"n": str(number)})
            stats.timer(["t"]).stop()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    SINK.stop()
    assert alarms
    assert (total(("c",)), total(("alarm",))) == (3_000, len(alarms))
    assert statsd_sink.wait("c", count=900)


MULTIPROCESSING = """
import multiprocessing, sys
import c2c_stats as stats

def work():
    stats.increment_counter(["c"], 5)

if __name__ == "__main__":
    stats.init_backends({"c2c.statsd_address": sys.argv[1], "c2c.statsd_flush_interval": "30"})
    for child in [multiprocessing.get_context("fork").Process(target=work) for _ in range(3)]:
        child.start()
        child.join()
"""


def test_processes_of_multiprocessing(statsd_sink, tmp_path):
    """They end without atexit, and have sent all nevertheless."""
    (tmp_path / "program.py").write_text(MULTIPROCESSING)
    subprocess.run([sys.executable, tmp_path / "program.py", statsd_sink.address], check=True, timeout=120)
    assert [metric.value for metric in statsd_sink.wait("c", count=3)] == [5, 5, 5]


@pytest.fixture
def slow_name(monkeypatch, statsd_sink):
    """Have the name of the server looked up until the test lets it; give what lets it."""
    let = threading.Event()
    found = [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", statsd_sink.port))]

    def look_up(*_arguments, **_keywords):
        assert let.wait(60)
        return found

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield let
    let.set()


@pytest.mark.parametrize("interval", ["0.05", "0"])
def test_memory_while_a_name_is_looked_up(slow_name, statsd_sink, interval):
    """Values that wait are bounded, whatever the interval; what is too much is counted as dropped."""
    configure("statsd.example:8125", statsd_flush_interval=interval)
    timer = stats.bound_timer(["t"])
    for _ in range(KEPT + 5_000):
        timer.observe(1)
    assert len(timer.kept) <= KEPT + 1
    slow_name.set()
    statsd_sink.wait("t", count=KEPT, timeout=60)
    wait_until(lambda: total(SENT) + total(DROPPED) >= KEPT + 5_000)
    assert total(DROPPED) >= 4_000


def test_a_thread_that_hangs_does_not_end_the_sending(slow_name, statsd_sink):
    """After a stop that could not wait for a look-up, what is recorded is sent all the same."""
    configure("statsd.example:8125")
    stats.increment_counter(["a"])
    SINK.stop()
    stats.increment_counter(["a"])
    slow_name.set()
    wait_until(lambda: sum(metric.value for metric in statsd_sink.named("a")) == 2)
    stats.increment_counter(["b"])
    statsd_sink.wait("b")


def test_two_stops_while_a_thread_hangs(slow_name):
    """Of all threads that were started while a look-up hung, none is left once the backend is closed."""
    configure("statsd.example:8125")
    stats.increment_counter(["a"])
    stops = [threading.Thread(target=SINK.stop) for _ in range(2)]
    for stop in stops:
        stop.start()
        wait_until(lambda: not SINK._started)
        stats.increment_counter(["a"])
        time.sleep(1)
    stops[0].join()
    stats.increment_counter(["a"])
    SINK.exporters.get("statsd").start()
    stops[1].join()
    stats.increment_counter(["a"])
    stats.init_backends({})
    slow_name.set()
    wait_until(lambda: not any(thread.name == "c2c-stats-statsd" for thread in threading.enumerate()))


def test_a_record_while_the_sink_stops(statsd_sink, monkeypatch):
    """A thread that records while another one stops the sink, before a fork say, is not left without a sender."""
    configure(statsd_sink.address)
    stats.increment_counter(["a"])
    backend = SINK.exporters.get("statsd")
    stop = backend.stop

    def recorded_meanwhile():
        monkeypatch.undo()
        stats.increment_counter(["b"])
        stop()

    monkeypatch.setattr(backend, "stop", recorded_meanwhile)
    SINK.stop()
    stats.increment_counter(["c"])
    assert [metric.name for metric in statsd_sink.wait("c")] == ["c"]


@pytest.mark.parametrize("interval", ["0", "0.05"])
def test_a_closed_backend_stays_closed(statsd_sink, interval):
    """A thread that is late to start what another one has put out of use starts no thread, which nobody would end."""
    configure(statsd_sink.address, statsd_flush_interval=interval)
    stats.increment_counter(["a"])
    backend = SINK.exporters.get("statsd")
    stats.init_backends({})
    wait_until(lambda: not backend._worker.running)
    backend.start()
    backend._send_now(stats.bound_timer(["t"]))
    assert not backend._worker.running


def test_a_stop_is_a_stop(statsd_sink):
    """What the last sending counts about itself does not start all again."""
    configure(statsd_sink.address)
    for _ in range(5):
        stats.increment_counter(["a"])
        SINK.stop()
        wait_until(lambda: not any(thread.name == "c2c-stats-statsd" for thread in threading.enumerate()))


FORK_WHILE_SENDING = """
import os, sys, threading
import c2c_stats as stats
from c2c_stats._series import KEPT
from c2c_stats._sink import SINK
stats.init_backends({"c2c.statsd_address": sys.argv[1], "c2c.statsd_flush_interval": "0"})
stats.increment_counter(["parent"])
backend = SINK.exporters.get("statsd")
while not backend._sender.peers:
    pass
backend._busy.acquire()
pid = os.fork()
if not pid:
    stats.increment_counter(["child"], 7)
    sys.exit(0)
backend._busy.release()
assert os.waitpid(pid, 0)[1] == 0
"""


def test_a_fork_while_another_thread_sends(statsd_sink):
    """The child sends, though a thread that it does not have held the lock."""
    done = subprocess.Popen([sys.executable, "-c", FORK_WHILE_SENDING, statsd_sink.address])
    try:
        assert statsd_sink.wait("child", timeout=60)[0].value == 7
        assert done.wait(60) == 0
    finally:
        done.kill()


# What is registered first is called last before a fork: after the sink has stopped.
FORK_AFTER_THE_STOP = """
import logging, os, sys, threading
import c2c_stats as stats
from c2c_stats._series import later
seen = []
def before():
    seen.extend(thread.name for thread in threading.enumerate())
    stats.increment_counter(["late"])
    stats.bound_timer(["late_timer"]).observe(1)
    later(logging.getLogger(), "said by the parent")
os.register_at_fork(before=before)
stats.init_backends({"c2c.statsd_address": sys.argv[1], "c2c.statsd_flush_interval": "30"})
stats.increment_counter(["parent"])
for name in ("child", "late"):
    pid = os.fork()
    if not pid:
        stats.increment_counter([name], 7)
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
assert seen == ["MainThread", "MainThread"], seen
"""


def test_a_fork_right_after_the_stop(statsd_sink):
    """No thread of ours is there at a fork; one that was started right after the stop is the parent's alone."""
    command = [sys.executable, "-c", FORK_AFTER_THE_STOP, statsd_sink.address]
    done = subprocess.run(command, check=True, timeout=120, stderr=subprocess.PIPE, text=True)
    assert done.stderr.count("said by the parent") == 2
    assert [metric.value for metric in statsd_sink.wait("child")] == [7]
    assert sorted(metric.value for metric in statsd_sink.wait("late", count=3)) == [1, 1, 7]
    assert [metric.value for metric in statsd_sink.named("parent")] == [1]
    assert [metric.value for metric in statsd_sink.named("late_timer")] == [1000, 1000]


FORK_WHILE_LOCKED = """
import os, signal, sys, threading
import c2c_stats as stats
from c2c_stats._sink import SINK
held, let = threading.Event(), threading.Event()
def hold():
    with SINK._lock:
        held.set()
        let.wait()
def before():
    threading.Thread(target=hold).start()
    held.wait()
os.register_at_fork(before=before)
stats.init_backends({"c2c.statsd_address": sys.argv[1], "c2c.statsd_flush_interval": "30"})
pid = os.fork()
if not pid:
    signal.alarm(60)
    stats.increment_counter(["child"], 7)
    sys.exit(0)
let.set()
assert os.waitpid(pid, 0)[1] == 0
"""


def test_a_fork_while_another_thread_makes_a_series(statsd_sink):
    """The child records, though a thread that it does not have held the locks."""
    subprocess.run([sys.executable, "-c", FORK_WHILE_LOCKED, statsd_sink.address], check=True, timeout=120)
    assert [metric.value for metric in statsd_sink.wait("child")] == [7]
