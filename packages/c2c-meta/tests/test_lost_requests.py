"""No request is lost in silence: what c2c-run's master says of workers that end by force."""

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

SOURCE = """
import ctypes, os, time
from pathlib import Path
from pyramid.config import Configurator


def sleep(request):
    time.sleep(float(request.params["for"]))
    return {"pid": os.getpid()}


def main(global_config, **settings):
    config = Configurator(settings=settings)
    config.include("c2c_meta")
    views = {
        "hello": lambda request: {"pid": os.getpid()},
        "sleep": sleep,
        "crash": lambda request: ctypes.string_at(0),
        "hold": lambda request: ctypes.PyDLL(None).sleep(100),
    }
    for name, view in views.items():
        config.add_route(name, "/" + name)
        config.add_view(view, route_name=name, renderer="json")
    return config.make_wsgi_app()
"""
SECRET = "an-operators-secret-of-some-length"
UNUSED = "c2c_sentry c2c_db c2c_page c2c_auth"
PARAMS = "--worker-class gthread --threads 16 --workers 2 --no-control-socket"


@pytest.fixture
def start(folder):
    """Start the service under c2c-run."""
    folder.write("tiny.py", SOURCE)

    def starting(params="", *, preload=False, **environ):
        environ = {"C2C_SECRET": SECRET, "C2C_DEBUG_VIEW_ENABLED": "1", "C2C_EXCLUDE": UNUSED, **environ}
        return folder.serve(params=f"{PARAMS} {'--preload' * preload} {params}", **environ)

    return starting


def _ask(process, path):
    def ask():
        try:
            answers.append(process.get(path, {"X-Request-ID": f"id-of-{path.partition('?')[0][1:]}"})[0])
        except Exception as error:  # noqa: BLE001 # whatever a connection that is cut raises
            answers.append(error)

    answers = []
    threading.Thread(target=ask, daemon=True).start()
    return answers


def _running(process, path):
    found = process.get("/c2c/debug/running", {"X-API-Key": SECRET})[2]["running"]
    return [one for one in found if one["path"] == path and one["route"]]


def _lost(process):
    """Return what the master said; a worker may say what another service of this user lost as a whole."""
    lines = process.log.splitlines()
    return [line for line in lines if " was lost after " in line and line.startswith(f"INI|{process.popen.pid}|")]


@pytest.mark.parametrize("preload", [False, True])
def test_kill_9_with_five_requests_in_flight(start, folder, preload):
    """Five lines with the reason, each once, and five in the counter; the listing names them until then."""
    process = start(preload=preload)
    for _ in range(5):
        _ask(process, "/sleep?for=100")
    found = folder.until(lambda: len(all_ := _running(process, "/sleep")) == 5 and all_)
    assert found[0]["phase"] == "view"
    pids = {one["pid"] for one in found}
    # Before anything is lost, or Prometheus would see no increase. More than 0 by services that ended as a whole.
    assert 'requests_lost_total{reason="graceful_timeout"}' in _metrics(process)
    before = _counted(process, "sigkill")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    folder.until(lambda: len(_lost(process)) >= 5)
    process.workers(2, but=pids)
    time.sleep(1)
    lines = _lost(process)
    assert len(lines) == 5
    pattern = (
        r"GET /sleep, route sleep, id id-of-sleep was lost after \d+\.\d s in view: worker \d+ was killed by SIGKILL"
    )
    assert [line for line in lines if not re.search(pattern, line)] == []
    assert all("|ERROR|c2c_debug.running|" in line for line in lines)
    assert not _running(process, "/sleep")
    folder.until(lambda: _counted(process, "sigkill") == before + 5)


def _counted(process, reason):
    found = re.search(rf'requests_lost_total{{reason="{reason}"}} (\d+)', _metrics(process))
    return int(found[1]) if found else 0


def _metrics(process):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=60)
    connection.request("GET", "/metrics", headers={"X-API-Key": SECRET, "Connection": "close"})
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def test_the_graceful_time_out(start, folder):
    """SIGTERM, two seconds, and a request of 25: its line, and the stacks of its worker before it is killed."""
    process = start("--workers 1 --graceful-timeout 2")
    _ask(process, "/sleep?for=25")
    folder.until(lambda: _running(process, "/sleep"))
    begun = time.monotonic()
    process.popen.send_signal(signal.SIGTERM)
    process.popen.wait(60)
    assert time.monotonic() - begun < 20
    (line,) = _lost(process)
    assert re.search(
        r"GET /sleep, .* was lost after \d+\.\d s in view: worker \d+ was killed at the graceful time-out", line
    )
    assert "tiny.py" in process.log
    assert " in sleep" in process.log


def test_gunicorns_time_out(start, folder):
    """A worker that holds the interpreter is given up: the line says so."""
    process = start("--timeout 2")
    _ask(process, "/hold")
    folder.until(lambda: _lost(process))
    (line,) = _lost(process)
    assert re.search(
        r"GET /hold, .* was lost after \d+\.\d s in view: worker \d+ was ended at gunicorn's time-out", line
    )


def test_a_crash(start, folder):
    """A segmentation fault loses the request that made it, and says so."""
    process = start("--workers 1")
    _ask(process, "/crash")
    folder.until(lambda: _lost(process))
    (line,) = _lost(process)
    assert re.search(r"GET /crash, .*: worker \d+ crashed \(SIGSEGV\)", line)


def test_a_stopped_worker_is_shown_at_once(start, folder):
    """Within a tenth of a second beside what the request takes itself; it is asked nothing."""
    process = start()
    _ask(process, "/sleep?for=100")
    (one,) = folder.until(lambda: _running(process, "/sleep"))
    os.kill(one["pid"], signal.SIGSTOP)
    try:
        (other,) = {pid for pid in _children(process.popen.pid) if pid != one["pid"]}
        # Whoever is asked: the stopped one takes connections, too, and does not answer.
        found = folder.until(lambda: _shown_by_the_command(folder))
        assert any(f"/{one['pid']}  GET /sleep, route sleep" in line for line in found)
        assert other
    finally:
        os.kill(one["pid"], signal.SIGCONT)


def _shown_by_the_command(folder):
    return [line for line in folder.run("c2c-health-check", "--running").stdout.splitlines() if "GET /sleep" in line]


def _children(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_peaceful_ends_lose_nothing(start, folder):
    """HUP and max-requests let requests end: no line, and every answer."""
    process = start("--max-requests 5 --graceful-timeout 30")
    answers = [_ask(process, "/sleep?for=3") for _ in range(4)]
    folder.until(lambda: len(_running(process, "/sleep")) == 4)
    process.popen.send_signal(signal.SIGHUP)
    for _ in range(20):
        process.get("/hello")
    folder.until(lambda: all(answers))
    assert [one[0] for one in answers] == [200] * 4
    assert process.stop() == 0
    assert not _lost(process)
