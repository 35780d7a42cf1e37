"""The family of forks, its folder, and threads that survive forks."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from c2c_broadcast import process
from c2c_broadcast.process import BusyError, Pool, Process, Worker, at_fork, family, start_ticks, this_process
from c2c_testing.gunicorn import gunicorn


def run(program, *args, **options):
    """Run a program; return what it printed."""
    ended = subprocess.run(
        [sys.executable, "-c", program, *args], capture_output=True, text=True, timeout=120, check=False, **options
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def in_child(function):
    """Run a function in a forked child; return what it returned."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, repr(function()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return pipe.read()


def until(condition, seconds=20):
    """Wait for something that comes to be true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_process_that_nobody_forked_is_its_own_family():
    """Pytest was started as a program: it is the root, and named by pid, start and container."""
    found = family()
    assert found.root == this_process()
    assert found.is_root
    assert found.name == f"{found.namespace}-{os.getpid()}-{start_ticks(os.getpid())}"


FORKS = """
import os, subprocess, sys
from c2c_broadcast.process import family
root = family().root.pid
print("root", root == os.getpid(), flush=True)
if os.fork() == 0:
    if os.fork() == 0:
        print("grandchild", family().root.pid == root, family().is_root, flush=True)
        program = "from c2c_broadcast.process import family; print('exec', family().is_root)"
        subprocess.run([sys.executable, "-c", program])
        os._exit(0)
    os.wait()
    os._exit(0)
os.wait()
"""


def test_forks_are_of_the_family_and_programs_started_anew_are_not():
    """A grandchild has the same root; the same Python started by it is a root itself."""
    assert run(FORKS) == ["root", "True", "grandchild", "True", "False", "exec", "True"]


def fake_process(proc, pid, parent, addresses, ticks=7, command=b"python\0app"):
    """Write what the kernel says of a process."""
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    fields = [b"S", b"%d" % parent, *[b"0"] * 17, b"%d" % ticks, *[b"0"] * 3, *addresses, *[b"0"] * 20]
    folder.joinpath("stat").write_bytes(b"%d (a) b) " % pid + b" ".join(fields))
    folder.joinpath("cmdline").write_bytes(command)


SHOWN, OTHER, HIDDEN = (b"70", b"80", b"90"), (b"71", b"80", b"90"), (b"1", b"1", b"0")


def test_another_users_parent_is_known_by_its_command(tmp_path):
    """Addresses of another user are hidden (gunicorn --user): the same command line, or gunicorn's titles, tell."""
    own = os.getpid()
    fake_process(tmp_path, own, 999_991, SHOWN)
    fake_process(tmp_path, 999_991, 1, HIDDEN, ticks=3)
    fake_process(tmp_path, 1, 0, HIDDEN, command=b"init")
    assert family(tmp_path).root == Process(999_991, 3)


@pytest.mark.parametrize(
    ("title", "above", "root"),
    [
        (b"gunicorn: worker [app]", b"gunicorn: master [app]", 999_991),
        (b"python\0app", b"sh\0run", os.getpid()),
        (b"", b"", os.getpid()),
    ],
)
def test_titles_of_gunicorn(tmp_path, title, above, root):
    """Titles set with setproctitle differ, and are of one service; other commands are not, nor is none."""
    fake_process(tmp_path, os.getpid(), 999_991, HIDDEN, command=title)
    fake_process(tmp_path, 999_991, 1, SHOWN, command=above)
    assert family(tmp_path).root.pid == root


def test_workers_are_what_the_root_forked(tmp_path):
    """Zombies and other programs are none; a kernel without lists of children is read process by process."""
    own = os.getpid()
    fake_process(tmp_path, own, 1, SHOWN, ticks=3)
    for pid, addresses in ((900, SHOWN), (901, OTHER), (902, SHOWN)):
        fake_process(tmp_path, pid, own, addresses, ticks=pid)
    fake_process(tmp_path, 903, 900, SHOWN)
    stat = tmp_path / "902" / "stat"
    stat.write_bytes(stat.read_bytes().replace(b") S ", b") Z "))
    assert family(tmp_path).workers() == [Process(900, 900)]
    assert family(tmp_path).workers({900}) == []
    task = tmp_path / str(own) / "task" / str(own)
    task.mkdir(parents=True)
    task.joinpath("children").write_text("900 901 ")
    assert family(tmp_path).workers() == [Process(900, 900)]


def test_without_proc_a_process_is_its_own_family(tmp_path, monkeypatch):
    """Where there is no /proc, nothing is guessed, and life is told by a signal."""
    monkeypatch.setattr(process, "PROC", tmp_path / "none")
    found = family(tmp_path / "none")
    assert (found.root, found.namespace, found.workers()) == (Process(os.getpid(), 0), "0", [])
    assert found.root.alive
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert not Process(gone.pid, 0).alive


def test_start_ticks_tell_the_living():
    """A process that waits to be waited for (a zombie) is none, and a stopped one is alive."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    ticks = start_ticks(child.pid)
    assert not Process(child.pid, ticks).stopped
    child.send_signal(signal.SIGSTOP)
    until(lambda: Process(child.pid, ticks).stopped)
    assert Process(child.pid, ticks).alive
    assert not Process(child.pid, ticks + 1).alive
    child.kill()
    until(lambda: start_ticks(child.pid) is None)
    assert not Process(child.pid, ticks).alive
    child.wait()


GUNICORN = """
import json, os
from c2c_broadcast.process import family, host_name, service_folder, this_process

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    found = family()
    return [json.dumps({"me": this_process().name, "root": found.root.pid, "workers": [p.name for p in found.workers()],
        "folder": str(service_folder("x"))}).encode()]
"""


@pytest.mark.parametrize("options", [[], ["--preload"], ["--preload", "--user", "65534"]])
def test_workers_of_gunicorn(tmp_path, options):
    """Each worker names the master as root, all three workers, and one folder, also as another user."""
    if "--user" in options and os.geteuid() != 0:
        options = ["--preload"]  # only root may
    tmp_path.joinpath("family_app.py").write_text(GUNICORN)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    with gunicorn("family_app:app", cwd=tmp_path, workers=3, args=options, ready=None) as server:
        seen = {}
        end = time.monotonic() + 60
        while len(seen) < 3 and time.monotonic() < end:
            with urllib.request.urlopen(server.url, timeout=30) as reply:
                answer = json.load(reply)
            seen[answer["me"]] = answer
        assert {one["root"] for one in seen.values()} == {server.master}
        assert len({one["folder"] for one in seen.values()}) == 1
        assert all(sorted(one["workers"]) == sorted(seen) for one in seen.values())


ONCE = """
import logging, os, sys
from pathlib import Path
from c2c_broadcast import process, settings
process._SHARED_MEMORY = Path(sys.argv[1])
process.tempfile.gettempdir = lambda: sys.argv[1]
logging.basicConfig(format="%(message)s")
log = logging.getLogger("c2c")
for _ in range(3):
    if os.fork() == 0:
        for key in ("one", "two", "one"):
            settings.warn_once(log, "Nothing reads %s", key)
        os._exit(0)
for _ in range(3):
    os.wait()
"""


def test_a_warning_of_a_service_is_said_once(tmp_path):
    """Of three processes that warn of two things, each twice, one says each; a service started anew says it again."""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", ONCE, str(tmp_path)], capture_output=True, text=True, check=True)
        assert sorted(done.stderr.splitlines()) == ["Nothing reads one", "Nothing reads two"]


def test_a_warning_without_a_folder_is_once_a_process(tmp_path):
    """Where nothing can be written it is said nevertheless, in each process."""
    nowhere = tmp_path / "away"
    done = subprocess.run([sys.executable, "-c", ONCE, str(nowhere)], capture_output=True, text=True, check=True)
    assert sorted(done.stderr.splitlines()) == ["Nothing reads one"] * 3 + ["Nothing reads two"] * 3


# -- the folder -------------------------------------------------------------------------------------------------------

FOLDER = """
import os, sys
from pathlib import Path
from c2c_broadcast import process
process._SHARED_MEMORY = Path(sys.argv[1])
folder = process.service_folder("x")
print(folder)
folder.joinpath("file").touch()
if "fork" in sys.argv and os.fork() == 0:
    process.service_folder("x")
    sys.stdin.read()
    print(folder.joinpath("file").exists(), flush=True)
    sys.exit()
if "kill" in sys.argv:
    sys.stdout.flush()
    os.kill(os.getpid(), 9)
"""


def test_the_folder_is_private_and_goes_with_the_last_process(tmp_path):
    """A child that outlives its parent still has the folder; then it is gone."""
    member = subprocess.Popen(
        [sys.executable, "-c", FOLDER, str(tmp_path), "fork"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    folder = Path(member.stdout.readline().strip())
    assert folder.parent.parent.parent == tmp_path
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in (folder, folder.parent, folder.parent.parent))
    assert member.wait(60) == 0
    assert folder.exists()
    assert member.communicate(timeout=60)[0].split()[-1] == "True"
    until(lambda: not folder.parent.exists())


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path):
    """SIGKILL leaves the folder; the next service of this user removes it, and not that of one that lives."""
    killed = subprocess.run(
        [sys.executable, "-c", FOLDER, str(tmp_path), "kill"], stdout=subprocess.PIPE, text=True, check=False
    )
    alive = subprocess.Popen(
        [sys.executable, "-c", FOLDER, str(tmp_path), "fork"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    other = Path(alive.stdout.readline().strip())
    alive.wait()
    until(lambda: len(list(other.parent.iterdir())) == 2)  # the folder x, and the child that uses it
    assert Path(killed.stdout.strip()).exists() is False
    run(FOLDER, str(tmp_path))
    assert other.exists()
    alive.communicate(timeout=60)


def test_links_and_open_folders_are_refused(tmp_path, monkeypatch):
    """A folder that another user could have laid there is not used; the message names it."""
    monkeypatch.setattr(process, "_SHARED_MEMORY", tmp_path / "memory")
    monkeypatch.setattr(process.tempfile, "gettempdir", lambda: str(tmp_path / "memory"))
    (tmp_path / "memory").mkdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    base = tmp_path / "memory" / f"c2c-{os.geteuid()}"
    base.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match=f"{base} is not a folder of this user alone"):
        process._join(on_disk=False)
    base.unlink()
    base.mkdir(mode=0o755)
    with pytest.raises(PermissionError, match="remove it"):
        process._join(on_disk=False)
    base.chmod(0o700)
    assert process._join(on_disk=False).parent == base


def test_without_shared_memory_the_folder_for_temporary_files_is_used(tmp_path, monkeypatch):
    """So it is where one asks for a folder on disk."""
    monkeypatch.setattr(process, "_SHARED_MEMORY", tmp_path / "none")
    monkeypatch.setattr(process.tempfile, "gettempdir", lambda: str(tmp_path))
    assert (
        process._join(on_disk=False) == process._join(on_disk=True) == tmp_path / f"c2c-{os.geteuid()}" / family().name
    )


# -- forks and ends ---------------------------------------------------------------------------------------------------


class Owner:
    """Counts its forks."""

    def __init__(self, fails=False):
        self.forks = []
        self.fails = fails

    def after_fork(self):
        """Count."""
        if self.fails:
            raise RuntimeError("as it happens")
        self.forks.append(os.getpid())


def test_owners_are_called_in_the_child_while_they_live(caplog):
    """Also where one before it fails; one that is gone is not called, nor kept; nothing happens in the parent."""
    owners = [Owner(fails=True), Owner()]
    before = len(process._FORKED)
    for owner in (*owners, *owners):
        at_fork(owner)
    del owner
    assert len(process._FORKED) == before + 2
    assert in_child(lambda: len(owners[1].forks)) == "1"
    assert owners[1].forks == []
    owners.clear()
    assert len(process._FORKED) == before


def test_a_fork_from_a_thread_is_one_too():
    """Owners are called, and a worker works, in a child that a thread forked."""
    owner = Owner()
    at_fork(owner)
    result = []
    thread = threading.Thread(target=lambda: result.append(in_child(lambda: len(owner.forks))))
    thread.start()
    thread.join()
    assert result == ["1"]


ENDS = """
import multiprocessing, os, sys
from c2c_broadcast.process import at_exit

class Owner:
    def at_exit(self):
        print("end", flush=True)

def child():
    at_exit(owner)

owner = Owner()
at_exit(owner)
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
print("main", flush=True)
if os.fork() == 0:
    sys.exit()
os.wait()
print("main", flush=True)
"""


def test_ends_are_told_in_children_of_multiprocessing_too():
    """Such a child ends without atexit; each process tells its end once."""
    assert run(ENDS) == ["end", "main", "end", "main", "end"]


# -- threads ----------------------------------------------------------------------------------------------------------


def test_a_worker_works_when_woken_and_when_it_said():
    """It has no thread before, is not called twice at once, and comes again after the seconds that it returned."""
    calls = []

    def work():
        calls.append(threading.current_thread().name)
        return 0.01 if len(calls) < 5 else None

    worker = Worker("c2c-test", work)
    assert not worker.running
    assert worker.close()
    worker.wake()
    until(lambda: len(calls) == 5)
    assert set(calls) == {"c2c-test"}
    assert worker.close()
    assert len(calls) == 6
    assert not worker.running
    worker.wake()
    until(lambda: len(calls) == 7)
    assert worker.close()


def test_what_is_put_in_before_the_close_is_worked_at():
    """Wakes from many threads and closes meanwhile lose nothing, and work is never done twice at a time."""
    items, done, inside, together = [], [], [], []

    def work():
        inside.append(1)
        together.append(len(inside))
        while items:
            done.append(items.pop())
        inside.pop()

    worker = Worker("c2c-test", work)

    def put():
        for _ in range(500):
            items.append(1)
            worker.wake()

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        worker.close(timeout=0.01)
    until(lambda: worker.close(timeout=20))
    assert (len(done), max(together)) == (2000, 1)


def test_a_close_is_bounded_and_a_worker_closes_itself():
    """A worker that hangs is waited for as long as was said; it may hurry; from inside nobody waits."""
    go, inside = threading.Event(), []

    def work():
        if not inside:
            inside.append((worker.is_own_thread, worker.close(timeout=60)))
        go.wait(60)
        inside.append(worker.closing)

    worker = Worker("c2c-test", work)
    worker.wake()
    until(lambda: inside)
    assert not worker.is_own_thread
    assert worker.close(timeout=0.05) is False
    go.set()
    assert worker.close(timeout=60)
    assert inside[:2] == [(True, True), True]


def test_a_worker_that_was_abandoned():
    """Beside a thread that did not end in time another one works; each ends, however many closed at once."""
    go, done = threading.Event(), []

    def work():
        done.append(threading.current_thread())
        if len(done) == 1:
            go.wait(60)

    worker = Worker("c2c-test-abandoned", work)
    worker.wake()
    until(lambda: done)
    closes = [threading.Thread(target=worker.close, args=(0.5,), kwargs={"abandon": True}) for _ in range(3)]
    for close in closes:
        close.start()
    closes[0].join()
    worker.wake()
    until(lambda: len(done) == 2)
    for close in closes:
        close.join()
    assert done[0] is not done[1]
    assert worker.close(timeout=60)
    go.set()
    until(lambda: not any(thread.name == "c2c-test-abandoned" for thread in threading.enumerate()))


def test_a_worker_goes_on_after_an_error(caplog):
    """What work raises is logged once a minute, and tried again."""
    calls = []

    def work():
        calls.append(1)
        if len(calls) < 3:
            raise RuntimeError("as it happens")

    worker = Worker("c2c-test", work, retry=0.01)
    worker.wake()
    until(lambda: len(calls) == 3)
    worker.close()
    assert [record.message for record in caplog.records] == ["Thread c2c-test: it goes on"]


def test_a_worker_comes_back_in_a_child():
    """The parent's thread is none of the child's, whatever the parent was doing; the next wake starts one."""
    worker = Worker("c2c-test", lambda: None)
    worker.wake()
    with worker._lock:  # another thread could have held it at the fork
        assert in_child(lambda: (worker.running, worker.wake(), worker.close(20))) == "(False, True, True)"
    worker.close()


def test_a_pool_has_bounds():
    """No more threads than that, no more of a kind than that, the others still run, and no more waiting jobs."""
    pool = Pool("c2c-test", threads=3, queued=4)
    go, running, most = threading.Event(), [], []

    def job():
        running.append(1)
        most.append(len(running))
        go.wait(60)
        running.pop()

    for _ in range(3):
        pool.submit(job, "slow", limit=2)
    until(lambda: len(running) == 2)
    quick = threading.Event()
    pool.submit(quick.set, "quick", limit=2)
    assert quick.wait(60)
    assert pool.count == 3
    pool.submit(job)
    until(lambda: len(running) == 3)
    for _ in range(3):
        pool.submit(job)
    with pytest.raises(BusyError, match="4 jobs wait"):
        pool.submit(job)
    assert pool.queued == 4
    go.set()
    until(lambda: len(most) == 7 and not running)
    assert max(most) == 3
    pool.close()
    until(lambda: pool.count == 0)


def test_a_kind_at_its_limit_starts_no_threads():
    """However many jobs of one kind come at once, it has as many threads as may run; another kind is not held up."""
    pool, done, counts = Pool("c2c-test", threads=100), [], []

    def job():
        time.sleep(0.0005)
        done.append(threading.get_ident())

    def submit():
        for _ in range(150):
            pool.submit(job, "one", 5)
            counts.append(pool.count)
            time.sleep(0.0001)

    callers = [threading.Thread(target=submit) for _ in range(8)]
    for caller in callers:
        caller.start()
    other = threading.Event()
    pool.submit(other.set, "two", 1)
    assert other.wait(60)
    for caller in callers:
        caller.join(60)
    deadline = time.monotonic() + 60
    while len(done) < 1_200:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert max(counts) <= 6


def test_a_pool_goes_on_after_an_error_and_lets_idle_threads_go(caplog):
    """A job that fails is logged; a thread without work ends, and comes with the next job."""
    pool = Pool("c2c-test", idle=0.05)
    pool.submit(lambda: 1 / 0)
    until(lambda: caplog.records)
    assert "ZeroDivisionError" in caplog.text
    until(lambda: pool.count == 0)
    done = threading.Event()
    pool.submit(done.set)
    assert done.wait(60)


def test_many_jobs_are_done_once_each_while_pools_close():
    """Jobs from many threads, with idle threads going and the pool closed meanwhile: each is done, once."""
    pool, done = Pool("c2c-test", threads=4, idle=0.001, queued=10_000), []

    def submit():
        for number in range(500):
            pool.submit(lambda number=number: done.append(number), number % 3, limit=2)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        pool.close()
        time.sleep(0.001)
    until(lambda: len(done) == 2000)
    assert sorted(done) == sorted(4 * list(range(500)))


def test_a_pool_is_empty_in_a_child():
    """Jobs of the parent are the parent's; the child's have threads of their own."""
    pool, go = Pool("c2c-test", threads=1), threading.Event()
    pool.submit(lambda: go.wait(60))
    pool.submit(lambda: None)

    def child():
        done = threading.Event()
        before = pool.count, pool.queued
        pool.submit(done.set)
        return before, done.wait(20)

    assert in_child(child) == "((0, 0), True)"
    go.set()
    pool.close()


@pytest.mark.parametrize("what", ["worker", "pool"])
def test_a_system_without_threads(monkeypatch, what):
    """Where the system has no thread to give, the caller is told, nothing is left half, and the next try works."""

    def refuse(self):
        raise RuntimeError("can't start new thread")

    done = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        worker, pool = Worker("c2c-test", done.set), Pool("c2c-test")
        if what == "worker":
            assert worker.wake() is False
            assert worker.close()
        else:
            with pytest.raises(BusyError, match="can't start new thread"):
                pool.submit(done.set)
            assert (pool.count, pool.queued) == (0, 0)
    if what == "worker":
        assert worker.wake()
    else:
        pool.submit(done.set)
    assert done.wait(60)


GEVENT = """
import sys
if sys.argv[1] == "before":
    from gevent import monkey; monkey.patch_all()
from c2c_broadcast.process import Pool, Worker
items, done = [], []
worker = Worker("c2c-test", lambda: done.append(items.pop()))
pool = Pool("c2c-test", threads=2)
if sys.argv[1] == "after":
    from gevent import monkey; monkey.patch_all()
import os, time, threading
def use():
    items.append(1)
    worker.wake()
    pool.submit(lambda: (time.sleep(0.05), done.append(2)))
    with __import__("gevent").Timeout(20):
        while sorted(done) != [1, 2]:
            time.sleep(0.01)
    assert worker.close(5), "not closed"
    pool.close()
    done.clear()
    os.write(1, b"used\\n")  # whole: parent and child write at once
use()
pid = os.fork()
use()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_gevent(when):
    """Threads are gevent's where it patched the standard library, before or after the import, and after a fork."""
    assert run(GEVENT, when) == ["used", "used", "used"]


def test_nothing_is_started_by_the_import():
    """No thread, no folder, no hook."""
    program = "import threading, c2c_broadcast.process as p; print(threading.active_count(), p._FORKED.registered)"
    assert run(program) == ["1", "False"]
    assert logging.getLogger("c2c_broadcast.process").handlers == []
