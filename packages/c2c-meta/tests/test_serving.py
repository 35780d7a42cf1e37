"""c2c-run with real gunicorn: processes, signals, faults."""

import contextlib
import http.client
import os
import re
import signal
import threading
from pathlib import Path

import pytest
import requests

GTHREAD = "--worker-class gthread --threads 4"


@pytest.fixture(params=["", "--preload"], ids=["own", "preload"])
def preload(request):
    """Without and with --preload."""
    return request.param


def suppressed(get, path):
    """Ask for what ends without an answer, or with gunicorn's page for an error."""
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        get(path)


def gone(pids):
    """Return those of the processes that have ended."""
    return {pid for pid in pids if not Path(f"/proc/{pid}").exists()}


def test_workers(folder, preload):
    """The command's process becomes gunicorn; logging is there before the application is imported."""
    process = folder.serve(params=f"{GTHREAD} --workers 2 {preload}", C2C_EXCLUDE="")
    process.workers(2)
    assert process.get("/hello")[2]["ppid"] == process.popen.pid
    builders = re.findall(r"INI\|(\d+)\|WARNING\|tiny\|tiny is built", process.log)
    assert builders == [str(process.popen.pid)] if preload else len(set(builders)) == 2
    assert process.get("/frozen")[2] > 10_000  # objects that its collector does not make copies of
    assert process.log.count("INI|") > process.log.count("tiny is imported") == len(builders)


def test_killed_worker(folder, preload):
    """A worker killed with -9 is replaced, and no stack is reported: there is none."""
    process = folder.serve(params=f"{GTHREAD} --workers 1 {preload}")
    (victim,) = process.workers(1)
    os.kill(victim, signal.SIGKILL)
    folder.until(lambda: "was sent SIGKILL" in process.log)
    process.workers(1, but={victim})
    assert "stuck, aborted or crashed" not in process.log


def test_term(folder, preload):
    """SIGTERM: the request that runs is served, the exit status is 0."""
    process = folder.serve(params=f"{GTHREAD} --workers 1 {preload}")
    answers = []
    request = threading.Thread(target=lambda: answers.append(process.get("/slow")))
    request.start()
    folder.until((folder.path / "slow").exists)
    process.popen.send_signal(signal.SIGTERM)
    folder.until(lambda: "Handling signal: term" in process.log)
    assert answers == []
    (folder.path / "go").touch()
    assert process.popen.wait(60) == 0
    request.join(60)
    assert [status for status, _, _ in answers] == [200]


@pytest.mark.parametrize("preload", ["", "--preload"])
def test_linger(folder, preload):
    """After SIGTERM it serves on for as long as the ini file says, its readiness red; the second one ends it."""
    folder.setting("pyramid.includes = c2c_health\nc2c.health.linger = 1000")
    process = folder.serve(params=f"{GTHREAD} --workers 1 {preload}", C2C_HEALTH_LINGER="")
    assert process.get("/c2c/health/ready")[0] == 200
    process.popen.send_signal(signal.SIGTERM)
    folder.until(lambda: process.get("/c2c/health/ready")[0] == 500)
    assert process.get("/hello")[0] == 200
    assert process.stop() == 0


def test_no_linger_without_health(folder):
    """Where c2c_health is left out nothing lingers."""
    folder.setting("c2c.health.linger = 1000")
    unlingering = {"C2C_HEALTH_LINGER": "", "C2C_EXCLUDE": folder.nothing}
    assert folder.serve(params=f"{GTHREAD} --workers 1", **unlingering).stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_interrupt(folder, number):
    """Ctrl-C and SIGQUIT end it too; a request that takes long is not waited for."""
    process = folder.serve(params=f"{GTHREAD} --workers 1 --graceful-timeout 1000")
    request = threading.Thread(target=lambda: suppressed(process.get, "/sleep"))
    request.start()
    folder.until((folder.path / "sleeping").exists)
    assert process.stop(number) == 0
    request.join(60)
    assert not request.is_alive()


def test_recycled(folder, preload):
    """Workers that end after so many requests are replaced."""
    process = folder.serve(params=f"{GTHREAD} --workers 1 --max-requests 5 {preload}")
    seen = process.workers(3)
    folder.until(lambda: len(gone(seen)) > 1)
    assert "Traceback" not in process.log
    assert process.stop() == 0


def test_stuck(folder, preload):
    """A worker that holds the interpreter for ever is killed; where it hung is one record; the service goes on."""
    # Time enough to start: with --preload that is done before the first worker is there.
    process = folder.serve(params=f"{GTHREAD} --workers 1 --timeout {6 if preload else 10} {preload}")
    with pytest.raises(ConnectionError):
        process.get("/stuck")
    folder.until(lambda: "stuck, aborted or crashed" in process.log)
    master = process.popen.pid
    records = re.findall(r"INI\|(\d+)\|ERROR\|c2c_meta\.workers\|Worker \(pid:\d+\) was stuck", process.log)
    assert set(records) == {str(master)}
    report = process.log[process.log.index("stuck, aborted or crashed") :]
    assert re.search(r'tiny\.py", line \d+ in <lambda>', report)
    process.up()
    assert process.stop() == 0


@pytest.mark.parametrize("faulthandler", ["", "1"])
def test_stuck_in_python(folder, faulthandler):
    """One that hangs where it can be interrupted ends by itself when aborted, and is reported in the same way."""
    environ = {"PYTHONFAULTHANDLER": faulthandler}
    process = folder.serve(params="--worker-class sync --workers 1 --preload --timeout 6", **environ)
    suppressed(process.get, "/sleep")
    folder.until(lambda: "stuck, aborted or crashed" in process.log)
    assert "SIGKILL" not in process.log
    assert process.log.count("Current thread") == 1  # the report is there once
    process.up()


def counted(process):
    """Return how many requests to /globals the metrics tell of."""
    page = requests.get(f"http://127.0.0.1:{process.port}/metrics", timeout=60).text
    values = re.findall(r'^c2c_route\w*_count\{.*route="globals".*\} (\S+)$', page, re.MULTILINE)
    return sum(map(float, values))


def test_metrics_of_dead_workers(folder, preload):
    """What workers counted stays when they are killed: the metrics of the dead are merged, and counted once."""
    folder.setting("pyramid.includes = c2c_stats")
    process = folder.serve(params=f"{GTHREAD} --workers 2 {preload}", C2C_EXCLUDE="c2c_sentry c2c_db c2c_page")
    before = process.workers(2)
    for _ in range(20):
        process.get("/globals")
    folder.until(lambda: counted(process) == 20)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    folder.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before))
    process.up().workers(2, but=before)
    assert counted(process) == 20
    process.get("/globals")
    folder.until(lambda: counted(process) == 21)
    assert process.stop() == 0


def test_crash(folder):
    """Where a worker crashed in C code is reported too."""
    process = folder.serve(params=f"{GTHREAD} --workers 1")
    os.kill(process.get("/hello")[2]["pid"], signal.SIGSEGV)
    folder.until(lambda: "stuck, aborted or crashed" in process.log)
    assert "Fatal Python error: Segmentation fault" in process.log
    process.up()


HOOKS = """
from pathlib import Path
def post_fork(server, worker): Path(f"forked-{worker.pid}").touch()
def worker_exit(server, worker): Path(f"exited-{worker.pid}").touch()
def child_exit(server, worker): Path(f"reaped-{worker.pid}").touch()
def when_ready(server): Path("ready").touch()
"""


@pytest.mark.parametrize("how", ["-c", "gunicorn.conf.py", "GUNICORN_CMD_ARGS"])
def test_own_configuration(folder, how):
    """A service's own gunicorn configuration holds, in each of gunicorn's ways, and its hooks run beside ours."""
    folder.write("gunicorn.conf.py" if how == "gunicorn.conf.py" else "own.py", HOOKS)
    environ = {"GUNICORN_CMD_ARGS": "-c own.py"} if how == "GUNICORN_CMD_ARGS" else {}
    process = folder.serve(params=f"{GTHREAD} --workers 1 {'-c own.py' if how == '-c' else ''}", **environ)
    pid = process.get("/hello")[2]["pid"]
    assert process.stop() == 0
    made = {path.name for path in folder.path.iterdir()}
    assert {"ready", f"forked-{pid}", f"exited-{pid}", f"reaped-{pid}"} <= made


def test_arguments_after_dashes(folder):
    """INI and arguments after -- win over the environment."""
    process = folder.serve("production.ini", "--", "--workers", "1", C2CWSGIUTILS_CONFIG="nowhere.ini")
    assert len({process.get("/hello")[2]["pid"] for _ in range(50)}) == 1


def test_an_ini_file_in_another_folder(folder, tmp_path_factory):
    """What it names is found beside it, wherever the service is started."""
    path = folder.path / "production.ini"
    folder.path = tmp_path_factory.mktemp("elsewhere")
    process = folder.serve(str(path), params="--workers 1", PYTHONPATH="")
    assert process.get("/hello")[0] == 200
    assert process.stop() == 0


def test_reload(folder):
    """--reload serves code as it is changed."""
    process = folder.serve(params=f"{GTHREAD} --workers 1 --reload --reload-engine poll")
    assert "new" not in process.get("/hello")[2]["settings"]
    code = (folder.path / "tiny.py").read_text()
    folder.write("tiny.py", code.replace("config = Configurator", "settings['new'] = '1'; config = Configurator"))
    # The reloader compares times of files, and may not have looked at this one yet.
    folder.until(lambda: os.utime(folder.path / "tiny.py") or "reloading" in process.log)
    process.up()
    folder.until(lambda: "new" in process.get("/hello")[2]["settings"])


def test_hup(folder):
    """SIGHUP gives new workers, with what the ini file says now, and no record is written twice."""
    process = folder.serve(params=f"{GTHREAD} --workers 1 --access-logfile -")
    before = process.workers(1)
    folder.setting("x = 1")
    process.popen.send_signal(signal.SIGHUP)
    process.workers(1, but=before)
    folder.until(lambda: gone(before) == before)
    assert process.get("/hello?last")[2]["settings"] == {"x": "1"}
    folder.until(lambda: process.log.count("GET /hello?last"))
    assert process.log.count("GET /hello?last") == 1
    assert process.stop() == 0
    assert process.log.count("Shutting down: Master") == 1


def test_usr2(folder):
    """SIGUSR2 starts a second master, the same as the first, which takes over."""
    process = folder.serve(params=f"{GTHREAD} --workers 1 --pid pid")
    process.popen.send_signal(signal.SIGUSR2)
    second = int(folder.until(lambda: (p := folder.path / "pid.2").exists() and p.read_text().strip()))
    folder.until(lambda: any(process.get("/hello")[2]["ppid"] == second for _ in range(20)))
    assert process.stop() == 0
    folder.until(lambda: process.get("/hello")[2]["ppid"] == second)
    os.kill(second, signal.SIGTERM)
    folder.until(lambda: process.log.count("Shutting down: Master") == 2)


def test_busy_port(folder):
    """A port in use is one line, and status 2."""
    first = folder.serve(params=f"{GTHREAD} --workers 1")
    given = {"GUNICORN_PARAMS": f"-b 127.0.0.1:{first.port}", "C2C_EXCLUDE": folder.nothing}
    done = folder.run("c2c-run", "production.ini", **given)
    assert done.returncode == 2
    assert done.stderr.startswith(f"c2c-run: can't listen at 127.0.0.1:{first.port}: ")
    assert done.stderr.count("\n") == 1


def test_broken_service(folder):
    """A service that can't be built ends with gunicorn's status, the reason in the log."""
    folder.write("tiny.py", "def main(global_config, **settings):\n    raise ValueError('no luck today')\n")
    given = {"GUNICORN_PARAMS": f"-b 127.0.0.1:{folder.free_port()}", "C2C_EXCLUDE": folder.nothing}
    done = folder.run("c2c-run", "production.ini", **given)
    assert done.returncode == 3
    assert "ValueError: no luck today" in done.stdout
