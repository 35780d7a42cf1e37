"""Under a real gunicorn: forks, the end of a service, and what all processes say together."""

import contextlib
import http.client
import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from c2c_testing.servers import stopped

SECRET = "an-operators-secret-of-some-length"

_APP = """
import os, time
from pyramid.config import Configurator
from c2c_health import HealthCheck

def pid(request):
    return os.getpid()

def bad(request):
    # One worker fails: the one that the file names.
    if os.path.exists("bad") and open("bad").read() == str(os.getpid()):
        raise ValueError("this one is bad")

def build():
    config = Configurator()
    health = HealthCheck(config)
    health.add_custom_check("pid", pid)
    health.add_custom_check("bad", bad)
    health.add_custom_check("beat", lambda request: time.time(), interval=0.1, level=2)
    config.add_route("ping", "/ping")
    config.add_view(lambda request: request.response, route_name="ping")
    return config.make_wsgi_app()

application = build()
"""


@pytest.fixture
def folder(tmp_path):
    """Give a folder with an application and a gunicorn.conf.py as the README has it."""
    (tmp_path / "service.py").write_text(_APP)
    (tmp_path / "gunicorn.conf.py").write_text("from c2c_health.gunicorn import when_ready\n")
    return tmp_path


def _get(server, path, headers=None):
    """Return status and body of one GET on a connection of its own; a refused or broken one raises OSError."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    try:
        connection.request("GET", path, headers={"Connection": "close", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def _report(server, path="/c2c/health_check", headers=None):
    return json.loads(_get(server, path, headers)[1])


def _wait(done, seconds=60):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Balancer:
    """Sends requests to those of several servers whose readiness is green, as it probes each 100 ms."""

    def __init__(self, *servers):
        self.servers = list(servers)
        self.ready = set(servers)
        self.lost = []
        self.answered = 0
        self.seen_red = set()
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._probe)]
        self._threads += [threading.Thread(target=self._ask) for _ in range(3)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join(60)

    def _probe(self):
        while not self._end.wait(0.1):
            for server in self.servers:
                try:
                    green = _get(server, "/c2c/health/ready")[0] == 200
                except OSError:
                    green = False
                if green:
                    self.ready.add(server)
                else:
                    self.seen_red.add(server)
                    self.ready.discard(server)

    def _ask(self):
        while not self._end.wait(0.005):
            for server in list(self.ready):
                try:
                    status, _ = _get(server, "/ping")
                    if status != 200:
                        self.lost.append(status)
                    self.answered += 1
                except OSError as error:
                    self.lost.append(repr(error))


def test_a_rolling_restart_loses_no_request(gunicorn, folder):
    """One server after the other is told to stop while a balancer probes: it turns red first, and serves on."""
    servers = [
        gunicorn(
            "service:application",
            workers=2,
            args=["--threads", "4", "--worker-class", "gthread"],
            cwd=folder,
            env={"C2C_HEALTH_LINGER": "3"},
            ready="/ping",
        )
        for _ in range(2)
    ]
    with Balancer(*servers) as balancer:
        for server in servers:
            _wait(lambda: balancer.ready == set(servers))
            begun = time.monotonic()
            server.signal(signal.SIGTERM)
            _wait(lambda server=server: not server.running)
            assert time.monotonic() - begun >= 3
            assert server in balancer.seen_red
            server.start()
        _wait(lambda: balancer.ready == set(servers))
    assert balancer.lost == []
    assert balancer.answered > 100


def test_a_reload_is_no_end(gunicorn, folder):
    """SIGHUP gives new workers; readiness stays green and no request is lost."""
    server = gunicorn(
        "service:application",
        workers=2,
        args=["--threads", "4", "--worker-class", "gthread"],
        cwd=folder,
        ready="/ping",
    )
    with Balancer(server) as balancer:
        for _ in range(2):
            before = set(server.pids())
            server.signal(signal.SIGHUP)
            _wait(lambda before=before: len(server.pids()) == 2 and not before & set(server.pids()))
            answered = balancer.answered
            _wait(lambda answered=answered: balancer.answered > answered + 20)
    assert balancer.lost == []
    assert balancer.seen_red == set()


@pytest.mark.parametrize("preload", [False, True])
def test_ready_turns_red_in_every_worker(gunicorn, folder, preload):
    """While the master lingers all answers of ``ready`` are red, all others as before; workers may come and go."""
    server = gunicorn(
        "service:application",
        workers=2,
        preload=preload,
        args=["--max-requests", "10"],
        cwd=folder,
        env={"C2C_HEALTH_LINGER": "60"},
        ready="/ping",
    )
    assert _get(server, "/c2c/health/ready")[0] == 200
    server.signal(signal.SIGTERM)
    _wait(lambda: _get(server, "/c2c/health/ready")[0] == 500)
    before = set(server.pids())
    for _ in range(30):
        assert _get(server, "/c2c/health/ready")[0] == 500
        assert _get(server, "/c2c/health_check")[0] == 200
        assert _get(server, "/c2c/health/live")[0] == 200
    _wait(lambda: before != set(server.pids()))
    # A second one ends the patience.
    server.signal(signal.SIGTERM)
    _wait(lambda: not server.running, 30)


def test_who_is_in_a_hurry_does_not_wait(gunicorn, folder):
    """Ctrl-C ends it at once, while lingering, too; and no lingering at all can be had."""
    server = gunicorn("service:application", cwd=folder, env={"C2C_HEALTH_LINGER": "60"}, ready="/ping")
    server.signal(signal.SIGTERM)
    time.sleep(0.5)
    assert server.running
    server.signal(signal.SIGINT)
    _wait(lambda: not server.running, 30)
    at_once = gunicorn("service:application", cwd=folder, env={"C2C_HEALTH_LINGER": "0"}, ready="/ping")
    at_once.signal(signal.SIGTERM)
    _wait(lambda: not at_once.running, 30)


def test_a_bad_lingering_stops_the_start(gunicorn, folder):
    """It names the variable."""
    with pytest.raises(Exception, match="C2C_HEALTH_LINGER"):
        gunicorn("service:application", cwd=folder, env={"C2C_HEALTH_LINGER": "soon"}, ready="/ping")


@pytest.mark.parametrize("preload", [False, True])
def test_checks_run_in_each_worker(gunicorn, folder, preload):
    """Threads come with the first use in each process, in recycled ones too; so do background runs."""
    server = gunicorn(
        "service:application", workers=2, preload=preload, args=["--max-requests", "20"], cwd=folder, ready="/ping"
    )
    pids, beats = set(), set()
    deadline = time.monotonic() + 60
    while len(pids) < 4 or len(beats) < 4:
        found = _report(server, "/c2c/health_check?max_level=2")["successes"]
        pids.add(found["pid"]["result"])
        beats.add(found["beat"]["result"])
        assert time.monotonic() < deadline
    assert server.master not in pids


def test_all_processes_report_together(gunicorn, folder, redis_server):
    """``scope=all`` tells how many pass, who fails and who is missing; it is for operators."""
    server = gunicorn(
        "service:application",
        workers=3,
        args=["--threads", "4"],
        cwd=folder,
        env={"C2C_REDIS_URL": redis_server.url, "C2C_SECRET": SECRET, "C2C_BROADCAST_PREFIX": "everywhere_"},
        ready="/ping",
    )
    key = {"X-API-Key": SECRET}
    path = "/c2c/health_check?scope=all"
    assert _get(server, path)[0] == 403

    def ask():
        # A worker takes part from its first request on.
        with ThreadPoolExecutor(9) as several:  # at once: one alone may be answered by the same worker each time
            list(several.map(lambda _: _get(server, "/ping"), range(9)))
        return _report(server, path, key)

    _wait(lambda: ask()["summary"] == "3 of 3 pass")
    found = ask()
    assert found["complete"]
    assert {member["pid"] for member in found["members"]} == set(server.pids())
    assert "status" not in found
    (folder / "bad").write_text(str(server.pids()[1]))
    _wait(lambda: ask()["summary"] == "2 of 3 pass")
    status, body = _get(server, path, key)
    found = json.loads(body)
    assert status == found["status"] == 500
    [failing] = found["failing"]
    assert (failing["pid"], failing["checks"]) == (server.pids()[1], ["bad"])
    (folder / "bad").unlink()
    silent = server.pids()[2]
    with stopped(silent):
        found = _until_missing(server, path, key)
        assert found["summary"] == "2 of 3 pass"
        assert [member["pid"] for member in found["missing"]] == [silent]
        assert not found["complete"]


def _until_missing(server, path, key):
    deadline = time.monotonic() + 120
    while True:
        assert time.monotonic() < deadline
        # The one that is stopped may get our request: ask again on another connection.
        with contextlib.suppress(OSError):
            found = _report(server, path, key)
            if found["missing"]:
                return found
