"""The file of a process, and the rows in it: written by one thread each, read by anybody."""

import contextlib
import subprocess
import sys
import threading
import time

import pytest

from c2c_debug.running import table
from c2c_debug.running.table import Table, read, running_folder


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Keep the files in a folder of this test's."""
    monkeypatch.setattr("c2c_debug.running.table.service_folder", lambda name: tmp_path / "family")
    return tmp_path / "running"


def shown(until=None):
    """Return what the one file has."""
    (path,) = running_folder().iterdir()
    return read(path, until)


def in_thread(work):
    """Do something in a thread that ends."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_a_row_from_its_begin_to_its_end(folder):
    """Each step is in the file at once; what ends an older request than the one that goes on ends nothing."""
    mine = Table()
    assert mine.current() is None
    row = mine.row()
    assert mine.row() is row
    assert mine.current() is None, "nothing goes on yet"
    assert shown() == []
    begun = row.begin("GET\0001.2.3.4\0from the client\0/a/path", {})
    assert mine.current() is row
    (one,) = shown(begun + 1.23449)
    assert one == {
        "thread": threading.get_ident(),
        "method": "GET",
        "path": "/a/path",
        "route": None,
        "id": "from the client",
        "client": "1.2.3.4",
        "seconds": 1.234,
        "phase": "view",
        "phase_seconds": 1.234,
        "text": None,
        "backend_pid": None,
    }
    row.route(b"the route\0the id")
    row.enter(table.SQL, b"SELECT 1", 77)
    (one,) = shown()
    assert (one["route"], one["id"], one["phase"], one["text"]) == ("the route", "the id", "sql", "SELECT 1")
    assert one["backend_pid"] == 77
    row.enter(table.REDIS, b"GET")
    assert (shown()[0]["phase"], shown()[0]["backend_pid"]) == ("redis", None)
    row.turn(table.RENDER)
    assert shown()[0]["phase"] == "render"
    row.enter(table.HTTP)
    row.leave()
    assert (shown()[0]["phase"], shown()[0]["text"]) == ("render", None)
    assert row.begin("\0\0\0other work", {}) > begun
    row.end(begun)
    (one,) = shown(0.0)
    assert (one["method"], one["path"], one["route"], one["id"], one["client"]) == ("", "other work", None, None, None)
    assert (one["seconds"], one["phase_seconds"]) == (0, 0), "never negative"
    row.end(row.begin("\0\0\0the last", {}))
    assert shown() == []
    assert mine.current() is None


def test_ages_of_what_is_dead():
    """Without a time they are of the last moment when anything was written, by whichever thread."""
    mine = Table()
    first = mine.row()
    begun = first.begin("GET\0\0\0/first", {})

    def other():
        row = mine.row()
        now = row.begin("GET\0\0\0/second", {})
        ages.update({one["path"]: one["seconds"] for one in shown()}, expected=round(now - begun, 3))

    ages = {}
    time.sleep(0.01)
    in_thread(other)
    assert ages == {"/first": ages["expected"], "/second": 0, "expected": ages["expected"]}


def test_what_is_too_long_is_cut():
    """Each text has its room: what is too long for it touches neither the next text nor the next row."""
    mine = Table()
    rows = []

    def other():
        rows.append(mine.row())
        rows[0].begin("GET\0\0\0/next", {})
        row.begin(f"GET\0client\0id\0/{'é' * 2000}", {})
        row.enter(table.SQL, b"x" * 2000)
        row.route(b"route\0" + b"y" * 2000)
        first, second = shown()
        assert (first["client"], second["path"], second["phase"]) == ("client", "/next", "view")
        assert (first["text"], first["route"], first["id"]) == ("x" * 336, "route", "y" * 154)
        assert first["path"] == "/" + "é" * 192 + "\N{REPLACEMENT CHARACTER}"
        rows.append("right")

    row = mine.row()
    in_thread(other)
    assert rows[1:] == ["right"]


def test_a_zero_byte_in_a_text():
    """It is shown as a question mark, and is not taken for the end of anything."""
    row = Table().row()
    row.begin("GET\0\0\0/a\0b\0c", {})
    row.enter(table.REDIS, b"x\0y\0z")
    assert [(one["path"], one["client"], one["id"], one["text"]) for one in shown()] == [
        ("/a?b?c", None, None, "x?y?z")
    ]


def test_256_rows(folder):
    """More threads than that have none and are not shown; the rows of threads that ended are others' again."""
    mine, rows, turns = Table(), [], 2
    for _ in range(turns):
        barrier, found = threading.Barrier(300), []

        def work(barrier=barrier, found=found):
            row = mine.row()
            found.append(row is not None)
            if row is not None:
                row.begin("\0\0\0one of many", {})
            if barrier.wait(60) == 0:  # all have begun
                rows.append(len(shown()))
            barrier.wait(60)

        threads = [threading.Thread(target=work) for _ in range(300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sum(found) == 256
        assert shown() == []
    assert rows == [256] * turns
    (path,) = folder.iterdir()
    assert path.stat().st_size == 256 * 1024


class _Watched:
    """A lock that tells how many have asked for it."""

    def __init__(self):
        self.lock, self.asked = threading.Lock(), threading.Semaphore(0)

    def __enter__(self):
        self.asked.release()
        self.lock.acquire()

    def __exit__(self, *_):
        self.lock.release()


def test_two_threads_that_are_the_first():
    """One of them makes the file; both have rows in it."""
    mine, made, rows = Table(), [], []
    mine._lock = _Watched()

    def work():
        made.append(mine.open())
        barrier.wait(60)
        rows.append(mine.row())
        rows[-1].begin("\0\0\0work", {})
        barrier.wait(60)
        barrier.wait(60)

    barrier = threading.Barrier(3)
    threads = [threading.Thread(target=work) for _ in range(2)]
    with mine._lock.lock:
        for thread in threads:
            thread.start()
        assert mine._lock.asked.acquire(timeout=60)
        assert mine._lock.asked.acquire(timeout=60)
    barrier.wait(60)
    barrier.wait(60)
    assert len(shown()) == 2
    barrier.wait(60)
    for thread in threads:
        thread.join(60)
    assert sorted(made) == [False, True]
    assert not mine.open()


def test_a_row_is_read_until_two_reads_agree():
    """What is half written at the first reads is read again."""

    def rows(path, text):
        said = f"GET\0\0\0{path}".encode()
        return table._ROW.pack(table.SQL, 0, 1.0, text, b"", 7, 1.0, said).ljust(table._SIZE, b"\0")

    class Changing:
        """A file that a process writes to meanwhile."""

        def __init__(self, *contents):
            self.contents = list(contents)

        def open(self, mode):
            return contextlib.nullcontext(self)

        def seek(self, where):
            assert where == 0

        def read(self):
            return self.contents.pop(0)

    old, torn, new = rows("/old", b"old"), rows("/new", b"old"), rows("/new", b"new")
    (one,) = table.read(Changing(old, torn, new, new))
    assert (one["path"], one["text"]) == ("/new", "new")


HEAD = """
import os, resource, signal, sys, threading
from pathlib import Path
from c2c_debug.running import table
from c2c_debug.running.table import TABLE
table.service_folder = lambda name: Path(sys.argv[1], "family")
"""


def run(tmp_path, code):
    """Run a program to its end; return what it printed, and the files that it left."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", HEAD + code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    folder = tmp_path / "running"
    return done.stdout + done.stderr, list(folder.iterdir()) if folder.is_dir() else None


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("row = TABLE.row(); row.end(row.begin('x')); print('done')", 0),
        ("row = TABLE.row(); row.begin('x'); print('done')", 1),
        ("TABLE.row(); [one.unlink() for one in table.running_folder().iterdir()]; print('done')", 0),
        ("if TABLE.row() and len(sys.argv) < 3: os.execv(sys.executable, [*sys.orig_argv, 'x'])\nprint('done')", 0),
    ],
    ids=["in peace", "with something in flight", "with its file gone", "after an exec"],
)
def test_the_end_of_a_process(tmp_path, code, left):
    """A file is left only by one that had something in flight; one of before an exec is no obstacle."""
    said, files = run(tmp_path, code)
    assert (said, len(files)) == ("done\n", left)


def test_files_are_the_users_alone(tmp_path):
    """So is their folder, whatever the process would give others."""
    _, (file,) = run(tmp_path, "os.umask(0); TABLE.row().begin('x')")
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("Path(sys.argv[1], 'running').touch()", "File exists"),
        (
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))",
            "File too large",
        ),
    ],
    ids=["no folder", "no room"],
)
def test_where_no_file_can_be_made(tmp_path, code, why):
    """That is said once, nothing half made is left, and what wants a row has one that nobody reads."""
    said, files = run(
        tmp_path,
        f"{code}\nprint(TABLE.open(), TABLE.open())\nrow = TABLE.row()\nrow.begin('x')\nprint(TABLE.current() is row)",
    )
    lines = said.splitlines()
    assert (lines[:2], len(lines)) == (["True False", "True"], 3)
    assert "Requests in flight can't be shown" in lines[2]
    assert why in lines[2]
    assert not files


def test_no_room_is_not_nothing(tmp_path):
    """That nothing goes on in a process whose file had no room is not said."""
    code = (
        "from c2c_debug.running import _listing\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))\n"
        "TABLE.open()\n"
        "print(_listing(everybody=False))"
    )
    said, files = run(tmp_path, code)
    assert "([], False)" in said
    assert not files


def test_a_fork(tmp_path):
    """The child has a file of its own; nothing that it ends, begins or drops changes what the parent's shows."""
    said, files = run(
        tmp_path,
        "def shown():\n"
        "    return sorted((one['path'], one['phase']) for path in table.running_folder().glob(f'*-{os.getpid()}-*')\n"
        "                  for one in table.read(path))\n"
        "def other():\n"
        "    TABLE.row().begin('\\0\\0\\0other')\n"
        "    ready.set(); leave.wait(60)\n"
        "ready, leave = threading.Event(), threading.Event()\n"
        "thread = threading.Thread(target=other); thread.start(); ready.wait(60)\n"
        "row = TABLE.row(); begun = row.begin('\\0\\0\\0mine')\n"
        "if pid := os.fork():\n"
        "    os.waitpid(pid, 0)\n"
        "    print('parent', shown(), flush=True)\n"
        "    leave.set(); thread.join(); row.end(begun)\n"
        "    print('parent', shown(), flush=True)\n"
        "else:\n"
        "    before = TABLE.current()\n"
        "    row.enter(table.SQL); row.end(begun)\n"
        "    new = TABLE.row(); then = new.begin('\\0\\0\\0child')\n"
        "    print('child', before, shown(), flush=True)\n"
        "    new.end(then); del row; TABLE.at_exit(); os._exit(0)\n",
    )
    assert said.splitlines() == [
        "child None [('child', 'view')]",
        "parent [('mine', 'view'), ('other', 'view')]",
        "parent []",
    ]
    assert not files
