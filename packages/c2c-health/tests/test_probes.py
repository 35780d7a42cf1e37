"""The probe address: what it answers while the service can't, and how it knows what the request threads do."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from pyramid.request import Request

from c2c_broadcast import ConfigurationError, load
from c2c_broadcast.process import service_folder
from c2c_health import HealthChecked, HealthSettings, RequestThreadsSeen, State
from c2c_health._probes import _MOST_CLIENTS, Probes, RequestThreads, probes, queue_time
from c2c_testing.servers import free_port, stopped

_APP = """
import ctypes, time
from pyramid.config import Configurator
from c2c_health import HealthCheck

def sleep(request):
    time.sleep(float(request.params["seconds"]))
    return request.response

def hold(request):
    ctypes.PyDLL(None).sleep(int(request.params["seconds"]))  # C code that does not give the interpreter away
    return request.response

def build():
    config = Configurator()
    HealthCheck(config).add_custom_check("it", lambda request: None)
    config.add_route("sleep", "/sleep")
    config.add_view(sleep, route_name="sleep")
    config.add_route("hold", "/hold")
    config.add_view(hold, route_name="hold")
    return config.make_wsgi_app()

application = build()
"""


def _get(address, path, method="GET", timeout=30):
    """Return status and body of one request; ``address`` is host:port."""
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _status(address, path):
    try:
        return _get(address, path)[0]
    except OSError:
        return None


def _wait(done, seconds=60):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def full(gunicorn, tmp_path):
    """Start a service whose request threads can all be sent to sleep; give it and its probe address."""
    (tmp_path / "service.py").write_text(_APP)
    (tmp_path / "gunicorn.conf.py").write_text("from c2c_health.gunicorn import post_worker_init, when_ready\n")

    def run(*args, workers=2, threads=2, **env):
        address = f"127.0.0.1:{free_port()}"
        kind = ["--worker-class", "gthread"] if threads > 1 else []
        server = gunicorn(
            "service:application",
            workers=workers,
            args=["--threads", str(threads), *kind, "--timeout", "300", "--graceful-timeout", "20", *args],
            cwd=tmp_path,
            env={"C2C_PROBE_ADDRESS": address, "C2C_HEALTH_LINGER": "0", **env},
            ready="/c2c/health/live",
        )
        _wait(lambda: _status(address, "/ready") == 200)
        return server, address

    return run


def _sleep(server, count, seconds):
    """Have so many requests asleep."""
    started = [
        threading.Thread(target=_status, args=(f"{server.host}:{server.port}", f"/sleep?seconds={seconds}"))
        for _ in range(count)
    ]
    for thread in started:
        thread.start()
    return started


@pytest.mark.parametrize("args", [(), ("--preload",)], ids=["no-preload", "preload"])
def test_all_threads_asleep(full, args):
    """A thousand probes are answered with 200 while no thread of any worker is free; also with a worker stopped."""
    server, address = full(*args)
    asleep = _sleep(server, 16, 3)
    time.sleep(0.5)
    for number in range(1_000):
        path = ("/live", "/livez", "/ready", "/readyz", "/health_check")[number % 5]
        assert _get(address, path)[0] == 200
    with stopped(server.pids()[0]):
        for _ in range(50):
            assert _get(address, "/ready")[0] == 200
    for thread in asleep:
        thread.join()


def test_a_worker_that_holds_the_interpreter(full):
    """While C code of one worker gives no other thread of it a turn, another worker answers the probes."""
    server, address = full()
    begun = time.monotonic()
    holding = threading.Thread(target=_status, args=(f"{server.host}:{server.port}", "/hold?seconds=5"))
    holding.start()
    time.sleep(1)
    for _ in range(50):
        assert _get(address, "/ready")[0] == 200
        assert _get(address, "/live")[0] == 200
    if time.monotonic() - begun < 5:
        assert holding.is_alive()
    holding.join()


def test_a_stuck_member(full):
    """Live is red, whichever member answers, when a process's threads have all been in the same requests too long."""
    server, address = full(workers=2, threads=1, C2C_LIVE_STUCK_SECONDS="1.5", C2C_READY_BUSY_SECONDS="1.5")
    [asleep] = _sleep(server, 1, 15)  # so long that a slow machine has looked twenty times
    _wait(lambda: _get(address, "/live")[0] == 500)
    for _ in range(20):
        status, body = _get(address, "/live")
        assert status == 500
        message = json.loads(body)["failures"]["request_threads"]["message"]
        assert "GET /sleep" in message
        assert "seconds" not in message  # the query may hold anything
    assert _get(address, "/ready")[0] == 200  # the other one is free
    asleep.join()
    _wait(lambda: _get(address, "/live")[0] == 200)


def test_ready_is_red_while_everybody_is_busy(full):
    """All threads of all members, for as long as the setting says; then green again."""
    server, address = full(workers=1, threads=2, C2C_READY_BUSY_SECONDS="1")
    asleep = _sleep(server, 2, 4)
    _wait(lambda: _get(address, "/ready")[0] == 500)
    assert "busy" in json.loads(_get(address, "/ready")[1])["failures"]
    assert _get(address, "/live")[0] == 200
    for thread in asleep:
        thread.join()
    _wait(lambda: _get(address, "/ready")[0] == 200)


def test_the_probe_address_is_there_to_the_end(full):
    """SIGTERM with a request in hand: no new request is taken, the probe address says not ready and alive still."""
    server, address = full(workers=1, threads=2)
    asleep = _sleep(server, 1, 4)
    time.sleep(0.5)
    server.signal(signal.SIGTERM)
    _wait(lambda: _get(address, "/ready")[0] == 500)
    assert _get(address, "/live")[0] == 200
    assert asleep[0].is_alive()
    _wait(lambda: _status(address, "/live") is None)
    asleep[0].join()


@pytest.fixture
def fresh(monkeypatch):
    """Let the process begin without a probe address; a listener's thread stays, and is a daemon."""

    def forget():
        probes._runs.close()
        probes.__init__()

    forget()
    yield
    if probes._listener is not None:
        probes._listener.close()
    forget()


def test_a_plain_process(service, fresh):
    """It opens the address itself when the application is made, and answers from memory; pages come on top."""
    address, seen = f"127.0.0.1:{free_port()}", []
    made = service(**{"c2c.probe_address": address})
    made.health.add_custom_check("good", lambda request: 42)
    made.health.add_custom_check("later", lambda request: "yes", level=2)
    made.health.add_probe_page("/metrics", lambda: ("text/plain", b"up 1\n"))
    made.health.add_probe_page("/broken", lambda: 1 / 0)
    made.config.add_subscriber(seen.append, RequestThreadsSeen)
    assert made.app
    _wait(lambda: _status(address, "/ready") == 200)
    report = json.loads(_get(address, "/health_check")[1])
    assert report["successes"]["good"]["result"] == 42
    assert set(json.loads(_get(address, "/health_check?max_level=2")[1])["successes"]) == {"good", "later"}
    assert _get(address, "/metrics") == (200, b"up 1\n")
    assert _get(address, "/metrics", "HEAD") == (200, b"")
    assert _get(address, "/broken")[0] == 500
    assert _get(address, "/nothing")[0] == 404
    assert _get(address, "/live", "POST")[0] == 405
    assert _get(address, "/health_check?checks=nothing")[0] == 400
    _wait(lambda: seen)
    assert seen[0].busy == 0


def test_no_thread_to_serve(service, fresh, caplog):
    """Where the system has no thread to give that is said, and the service starts; the address is there once it has."""
    address, before = f"127.0.0.1:{free_port()}", threading.stack_size(1 << 46)
    try:
        assert service(**{"c2c.probe_address": address}).app
    finally:
        threading.stack_size(before)
    assert f"The probe address {address} is not served" in caplog.text
    probes.serve()
    _wait(lambda: _status(address, "/live") == 200)


_STARVED = """
import os, resource, sys
from pyramid.config import Configurator
from c2c_health import HealthCheck

config = Configurator(settings={"c2c.probe_address": sys.argv[1]})
HealthCheck(config)
config.make_wsgi_app()
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
os.write(2, b"full\\n")
sys.stdin.readline()
for descriptor in taken:
    os.close(descriptor)
os.set_blocking(1, False)
try:
    while True:
        os.write(1, b"x" * 65_536)
except BlockingIOError:
    pass
sys.stdin.readline()
"""


def test_what_this_process_runs_out_of():
    """Live answers and is red where no descriptor is left; it tells (degraded) of a log that nobody reads."""
    address = f"127.0.0.1:{free_port()}"

    def part(name):
        status, body = _get(address, "/live")
        report = json.loads(body)
        return status, (report["successes"] | report["failures"])[name].get("message", "")

    command = [sys.executable, "-c", _STARVED, address]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:

        def go_on():
            process.stdin.write("\n")
            process.stdin.flush()

        _wait(lambda: _status(address, "/live") == 200)
        assert part("descriptors") == (200, "")
        assert part("log") == (200, "")
        go_on()
        assert process.stderr.readline() == "full\n"
        for _ in range(20):
            status, message = part("descriptors")
            assert status == 500
            assert "file" in message  # "no file can be opened", or "99 of 100 file descriptors are open"
        go_on()
        _wait(lambda: part("descriptors") == (200, ""))
        _wait(lambda: part("log") == (200, "nobody reads the log: stdout can't be written to"))
        go_on()
        process.stdout.read()


def test_a_full_disk(service, fresh, monkeypatch):
    """Live tells of it (degraded), and so does an event, for metrics."""
    made, heard = service(), []
    made.health.on_event(HealthChecked, heard.append)
    made.checks.run_for_probes()
    assert {event.name: event.state for event in heard}["live_disk"] is State.PASSED
    assert not any(event.changed for event in heard)
    heard.clear()
    monkeypatch.setattr(tempfile, "tempdir", "/proc")  # a file system that has no room
    for _ in range(2):
        made.checks.run_for_probes()
    told = [(event.kind, event.state, event.changed) for event in heard if event.name == "live_disk"]
    assert told == [("live", State.DEGRADED, True), ("live", State.DEGRADED, False)]
    report = made.get("/health/live").json
    assert report["successes"]["disk"]["message"] == "/proc is full (0 bytes are free)"
    assert report["successes"]["disk"]["outcome"] == "degraded"


def test_what_has_not_run_is_not_ready(service, fresh):
    """A check whose first run hangs is no success, and its deadline holds."""
    address, go_on = f"127.0.0.1:{free_port()}", threading.Event()
    made = service(**{"c2c.probe_address": address})
    made.health.add_custom_check("hangs", lambda request: go_on.wait(60), timeout=1)
    assert made.app
    _wait(lambda: _status(address, "/live") == 200)
    assert "has not been run" in json.loads(_get(address, "/ready")[1])["failures"]["hangs"]["message"]
    _wait(lambda: "timed out" in json.loads(_get(address, "/ready")[1])["failures"]["hangs"]["message"])
    go_on.set()
    _wait(lambda: _status(address, "/ready") == 200)


@pytest.mark.parametrize(
    "sent", [b"", b"GET / nonsense\r\n\r\n", b"GET //[ HTTP/1.1\r\n\r\n", b"\xff" * 9_000, b"GET /live HTTP/1.1\r\n"]
)
def test_clients_that_make_no_request(service, fresh, sent):
    """Garbage, silence and half a request keep nobody: others are answered meanwhile, and the connection is closed."""
    address = f"127.0.0.1:{free_port()}"
    made = service(**{"c2c.probe_address": address})
    assert made.app
    _wait(lambda: _status(address, "/live") == 200)
    host, port = address.split(":")
    clients = [socket.create_connection((host, int(port)), timeout=30) for _ in range(300)]
    for client in clients:
        client.sendall(sent)
    assert _get(address, "/live")[0] == 200
    for client in clients:
        with client:
            try:
                while client.recv(1_000):
                    pass
            except ConnectionResetError:
                pass


def test_clients_that_are_slow(service, fresh):
    """As many as are served at a time, each sending a byte now and then: they are cut, and a probe has its answer."""
    address = f"127.0.0.1:{free_port()}"
    made = service(**{"c2c.probe_address": address})
    assert made.app
    _wait(lambda: _status(address, "/live") == 200)
    host, port = address.split(":")
    clients = [socket.create_connection((host, int(port)), timeout=30) for _ in range(_MOST_CLIENTS)]
    end = threading.Event()

    def drip():
        while not end.wait(0.3):
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(b"G")

    dripping = threading.Thread(target=drip, daemon=True)
    dripping.start()
    try:
        time.sleep(1)
        assert _get(address, "/live")[0] == 200
    finally:
        end.set()
        dripping.join()
        for client in clients:
            client.close()


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_another_method(service, fresh, method):
    """Only GET and HEAD are answered."""
    address = f"127.0.0.1:{free_port()}"
    made = service(**{"c2c.probe_address": address})
    assert made.app
    _wait(lambda: _status(address, "/live") == 200)
    assert _get(address, "/live", method)[0] == 405


def test_an_address_in_use_is_had_later(service, fresh, monkeypatch, caplog):
    """Said in the log, once a service; served when the other process is gone."""
    monkeypatch.setattr("c2c_health._probes._RETRY", 0.1)
    caplog.set_level("INFO", "c2c_health")
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        made = service(**{"c2c.probe_address": address})
        assert made.app
        time.sleep(0.5)
    _wait(lambda: _status(address, "/live") == 200)
    assert caplog.text.count("can't be had") == 1


def test_a_unix_socket(tmp_path):
    """One that a killed process left behind is no obstacle."""
    path = str(tmp_path / "probes")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    one = Probes()
    one.open(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    one._listener.close()


@pytest.mark.parametrize("address", ["localhost", "host:", "host:0", "host:99999", "host:http"])
def test_an_address_that_is_none_stops_the_start_up(address):
    """It names the variable and what would do."""
    with pytest.raises(ConfigurationError, match=r"C2C_PROBE_ADDRESS.*host:port"):
        load(HealthSettings, {"c2c.probe_address": address})


def _request(path):
    return Request.blank(path)


def test_since_when_all_threads_are_busy():
    """Since the youngest of their requests began; not as long as one thread is free."""
    threads = RequestThreads()
    threads.known = 2
    first = threads.begin(_request("/first"))
    assert threads.load().full_since is None
    second = threads.begin(_request("/second?secret=x"))
    load = threads.load()
    assert load.full_since == second[0]
    assert load.text == "GET /first, GET /second"
    threads.end(first)
    assert threads.load().full_since is None
    third = threads.begin(_request("/third"))
    assert threads.load().full_since == third[0]
    threads.end(second)
    threads.end(third)
    threads.tell()
    assert [(load.busy, load.full_since) for load in threads.family()] == [(0, None)]
    threads.at_exit()


def test_who_ends_while_another_tells_is_counted():
    """Threads that come and go at once leave no trace of a fullness that is over."""
    threads = RequestThreads()
    threads.known = 2
    stop = time.monotonic() + 2

    def serve():
        while time.monotonic() < stop:
            threads.end(threads.begin(_request("/")))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        serving = [threading.Thread(target=serve) for _ in range(4)]
        for thread in serving:
            thread.start()
        for thread in serving:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert threads.load() == threads.load().__class__(os.getpid(), 2, 0, None, "")
    threads.at_exit()


def test_the_file_of_a_process_that_ended_is_removed():
    """It tells of nobody."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    path = service_folder("health") / f"{int(ended.stdout)}-1"
    path.write_bytes(b"\1" * 2_000)
    assert [load.pid for load in RequestThreads().family()] == [os.getpid()]
    assert not path.exists()


@pytest.mark.parametrize(
    ("began", "waited"),
    [
        ("1700000000.5", 9.5),
        ("t=1700000000500", 9.5),
        ("t=1700000000500000", 9.5),
        ("1700000010.2", 0.0),
        ("1700000099", None),
        ("0", None),
        ("nan", None),
        ("garbage", None),
        ("9" * 5_000, None),
    ],
)
def test_queue_time(began, waited):
    """Seconds, milli- or microseconds; what can't be is none."""
    found = queue_time(began, 1700000010.0)
    assert found == waited if waited is None else found == pytest.approx(waited)


def test_queue_time_is_told(service):
    """Of each request that has the header."""
    made, heard = service(), []
    made.health.on_queue_time(heard.append)
    made.get("/health/live")
    made.get("/health/live", headers={"X-Request-Start": f"t={time.time() - 2:.3f}"})
    [waited] = heard
    assert 1.9 < waited < 30
