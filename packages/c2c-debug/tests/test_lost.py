"""Requests that are lost: a line each and a count, whoever notices."""

import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from c2c_broadcast.process import family, this_process
from c2c_debug.running import Watch, begin, count_with, in_flight, listing, lost
from c2c_debug.running.table import TABLE, running_folder

SERVICE = """
import ctypes, os, time
from pathlib import Path
from c2c_debug.running import table
table.service_folder = lambda name: Path(os.environ["FOLDER"])
from pyramid.config import Configurator
from pyramid.response import Response

def view(request):
    pid = str(os.getpid())
    if "hold" in request.params:
        ctypes.PyDLL(None).sleep(int(request.params["seconds"]))  # with the interpreter
    elif "crash" in request.params:
        ctypes.string_at(0)
    else:
        time.sleep(float(request.params.get("seconds", 0)))
    return Response(pid)

config = Configurator(settings={"c2c.base_path": "/c2c"})
config.include("c2c_debug")
config.add_route("thing", "/thing/{id}")
config.add_view(view, route_name="thing")
application = config.make_wsgi_app()
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Keep the files in a folder of this test's: other services of this user, such as other tests', sweep theirs."""
    found = tmp_path / "shared" / "family"
    found.mkdir(parents=True)
    monkeypatch.setattr("c2c_debug.running.table.service_folder", lambda name: found)
    TABLE.after_fork()
    yield found
    TABLE.after_fork()


@pytest.fixture
def start(workers, folder):
    """Start the service under plain gunicorn."""
    return lambda **options: workers(SERVICE, env={"FOLDER": str(folder)}, **options)


def _background(workers, path, headers=None):
    def ask():
        try:
            answers.append(workers.ask("GET", path, headers=headers))
        except OSError:
            answers.append(None)

    answers = []
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return answers


def _running(workers):
    return workers.get("/debug/running")["running"]


def _lines(workers):
    return [line for line in workers.server.log_text().splitlines() if "was lost" in line]


def _pids(workers):
    return {int(workers.ask("GET", "/thing/pid")[2]) for _ in range(20)}


@pytest.mark.parametrize("preload", [False, True])
def test_a_killed_worker_loses_nothing_in_silence(start, eventually, preload):
    """With plain gunicorn the worker that takes its place says what was in hand: five lines, each once."""
    started = start(workers=2, args=["--threads", "16", *["--preload"] * preload])
    for number in range(5):
        _background(started, f"/thing/{number}?seconds=100", {"X-Request-ID": f"id-{number}"})
    found = eventually(
        lambda: (
            (all_ := [one for one in _running(started) if one["path"] != "/c2c/debug/running"])
            and [one["route"] for one in all_] == ["thing"] * 5
            and all_
        )
    )
    for pid in {one["pid"] for one in found}:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: _pids(started) and _running(started) and len(_lines(started)) >= 5)
    time.sleep(0.5)
    _running(started)
    lines = _lines(started)
    assert len(lines) == 5
    for number in range(5):
        (line,) = [one for one in lines if f"/thing/{number}," in one]
        assert re.search(
            rf"GET /thing/{number}, route thing, id id-{number} was lost after \d+\.\d s in view: worker \d+ is gone",
            line,
        )


def test_a_stopped_worker_and_one_that_holds_the_interpreter_are_shown(start, eventually):
    """Nobody is asked: what a process that stands still does is in its file."""
    started = start(workers=2)
    _background(started, "/thing/stopped?seconds=100")
    (one,) = eventually(lambda: [one for one in _running(started) if one["path"] == "/thing/stopped"])
    os.kill(one["pid"], signal.SIGSTOP)
    try:
        _background(started, "/thing/holds?hold=1&seconds=20")
        held = eventually(lambda: [each for each in listing_of(started) if each["path"] == "/thing/holds"])
        assert [each["path"] for each in listing_of(started) if each["pid"] == one["pid"]] == ["/thing/stopped"]
        assert held[0]["pid"] != one["pid"]
    finally:
        os.kill(one["pid"], signal.SIGCONT)


def listing_of(started):
    """Return what ``c2c-health-check --running`` would, of a service's workers: as when no worker answers."""
    master = started.server.master
    return [one for one in listing(everybody=True) if _parent(one["pid"]) == master]


def _parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_crash_is_said(start, eventually):
    """A segmentation fault loses its request, and says so."""
    started = start(workers=1)
    answers = _background(started, "/thing/x?crash=1")
    eventually(lambda: answers)
    started.ask("GET", "/thing/y")
    assert len(_lines(started)) == 1
    assert "GET /thing/x, route thing was lost" in _lines(started)[0]


def test_an_end_in_peace_leaves_nothing(start, eventually):
    """HUP, recycling and SIGTERM leave no file and no line."""
    started = start(workers=2, args=["--max-requests", "3"])
    for _ in range(12):
        started.ask("GET", "/thing/x")
    os.kill(started.server.master, signal.SIGHUP)
    assert started.ask("GET", "/thing/x")[0] == 200
    master = started.server.master
    started.server.stop()
    assert not _lines(started)
    assert not [path for path in running_folder().iterdir() if path.name.split("-")[1] == str(master)]


# -- the master's part, without gunicorn ------------------------------------------------------------------------------


@pytest.fixture
def watch(monkeypatch):
    """Give a watch of this process over its children."""
    monkeypatch.setattr(Watch, "there", False)  # is put back in the end
    return Watch()


def _child(work):
    """Fork a child that has something in flight and then does ``work``; return its pid and its status when it ended."""
    pid = os.fork()
    if pid == 0:
        try:
            with in_flight("a child's work"):
                work()
        finally:
            os._exit(7)
    _, status = os.waitpid(pid, 0)
    return pid, status


@pytest.mark.parametrize(
    ("work", "reason", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), None, "was killed by SIGKILL"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), None, "crashed (SIGSEGV)"),
        (lambda: os._exit(3), None, "crashed (exit status 3)"),
        (lambda: os._exit(0), None, "ended"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "timeout", "was ended at gunicorn's time-out"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "graceful_timeout", "was killed at the graceful time-out"),
    ],
)
def test_reasons(watch, caplog, work, reason, said):
    """The line says what ended the process; it is written once."""
    pid, status = _child(work)
    assert watch.ended(pid, status=status, reason=reason) == 1
    assert watch.ended(pid, status=status, reason=reason) == 0
    lost.sweep()
    (line,) = [one for one in caplog.messages if "was lost" in one]
    assert re.fullmatch(rf"a child's work was lost after \d+\.\d s: worker {pid} {re.escape(said)}", line)


def test_out_of_memory_is_told_from_a_kill(monkeypatch, tmp_path, caplog):
    """Where the kernel has counted one more process that it killed, it was that."""
    file = tmp_path / "memory.events"
    file.write_text("low 0\noom_kill 3\n")
    monkeypatch.setattr(lost, "_OOM_FILES", (str(file),))
    monkeypatch.setattr(Watch, "there", False)
    watch = Watch()
    for number, said in ((3, "was killed by SIGKILL"), (4, "out of memory"), (4, "was killed by SIGKILL")):
        file.write_text(f"low 0\noom_kill {number}\n")
        pid, status = _child(lambda: os.kill(os.getpid(), signal.SIGKILL))
        watch.ended(pid, status=status)
        assert said in caplog.messages[-1]


def test_losses_are_counted_once(watch):
    """What a master said a process that counts takes over, by reason; each reason is there before its first loss."""
    for _ in range(2):
        pid, status = _child(lambda: os.kill(os.getpid(), signal.SIGKILL))
        watch.ended(pid, status=status)
    counted = []
    count_with(lambda reason, number: counted.append((reason, number)))
    try:
        lost.sweep()
        lost.sweep()
        assert [one for one in counted if one[1]] == [("sigkill", 2)]
        assert {reason for reason, _ in counted} == {*lost.REASONS}
    finally:
        lost._COUNTERS.clear()  # the only way: they are of the process


def test_who_is_watched_is_left_to_the_watcher(watch, caplog):
    """Others do not say what the master will say better."""
    pid, status = _child(lambda: os.kill(os.getpid(), signal.SIGKILL))
    lost.sweep()
    assert not [one for one in caplog.messages if "was lost" in one]
    assert watch.ended(pid, status=status) == 1


SCRIPT = """
import os, signal, sys
from pathlib import Path
from c2c_debug.running import in_flight, table
table.service_folder = lambda name: Path(sys.argv[1])
with in_flight("a whole service's work"):
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_start_says_what_a_whole_service_lost(folder, caplog):
    """A service that was killed as a whole: the next one of this user finds its file."""
    words = [sys.executable, "-c", SCRIPT, folder]
    killed = subprocess.run(words, capture_output=True, text=True, check=False)
    begin()
    lines = [one for one in caplog.messages if f"worker {killed.stdout.strip()} is gone" in one]
    assert len(lines) == 1
    assert "a whole service's work was lost after" in lines[0]


def test_a_fork_ends_nothing_of_other_threads():
    """The rows of threads that are not in the child are the parent's, also where nothing but their thread has them."""

    def other():
        TABLE.row().begin("\0\0\0in another thread")
        entered.set()
        release.wait(60)

    entered, release = threading.Event(), threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(60)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert [one["path"] for one in listing()] == ["in another thread"]
    release.set()
    thread.join()
    assert not listing()


def test_a_fork_within_a_request_disturbs_nobody():
    """The child's ends and phases are not the parent's; what other threads of the parent do goes on to be shown."""
    release = threading.Event()

    def other():
        with in_flight("in another thread"):
            entered.set()
            release.wait(60)

    entered = threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(60)
    with in_flight("the parent's"):
        before = sorted(one["path"] for one in listing())
        pid = os.fork()
        if pid == 0:
            own = TABLE.current()
            os._exit(0 if own is None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        child = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(FORKING)], capture_output=True, text=True, check=False
        )
        assert sorted(one["path"] for one in listing()) == before == ["in another thread", "the parent's"]
    release.set()
    thread.join()
    assert child.stdout.split() == ["child", "['outer']", "parent", "['outer']"], child.stderr


FORKING = """
import os, threading
from c2c_debug import in_flight
from c2c_debug.running import listing
with in_flight("outer"):
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        print("parent", [one["path"] for one in listing()], flush=True)
if not pid:
    # the row of the block that was left is the parent's, and goes on there
    print("child", [one["path"] for one in listing()], flush=True)
    os._exit(0)
"""


def test_names_of_files_are_of_this_family():
    """A process' file is named after its family and itself, and is this user's alone."""
    begin()
    path = running_folder() / f"{family().name}-{this_process().name}"
    assert path.stat().st_mode & 0o777 == 0o600
    assert logging.getLogger("c2c_debug.running")
