"""The family of forks, its folder, and threads that survive forks."""

import functools
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from c2c_broadcast import process
from c2c_broadcast.process import (
    BusyError,
    Family,
    Pool,
    Process,
    Worker,
    at_fork,
    family,
    host_name,
    service_folder,
    start_ticks,
    this_process,
)
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


NO_PROC = Path("/there/is/none")
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


def test_a_proc_that_can_not_be_listed(tmp_path):
    """As another user's container may have it: no workers are known, and nothing is raised."""
    fake_process(tmp_path, 900, 1, SHOWN)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    tmp_path.chmod(0o111)

    def look():
        if os.geteuid() == 0:
            os.setuid(65_534)
        return Family(Process(900, 7), "0", tmp_path).workers()

    assert in_child(look) == "[]"
    tmp_path.chmod(0o755)


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
process.temporary_folder = lambda: Path(sys.argv[1])
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


def test_names():
    """A host has the name that the system gives, a process one that is read back, whatever follows it."""
    assert host_name() == socket.gethostname()
    me = this_process()
    assert Process.parse(me.name) == Process.parse(f"{me.name}-more-of-it") == me
    assert this_process(NO_PROC) == Process(os.getpid(), 0)
    with pytest.raises(ValueError, match="unpack"):
        Process.parse("5")
    assert family().namespace == "".join(filter(str.isdigit, str(Path("/proc/self/ns/pid").readlink())))


def test_a_process_that_is_gone():
    """Is neither alive nor stopped, and has no workers; nor has what another process of its number forked."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    gone = Process(child.pid, start_ticks(child.pid) or 0)
    child.wait()
    assert (gone.alive, gone.stopped) == (False, False)
    assert Family(gone, "0").workers() == []
    other = Family(Process(os.getpid(), this_process().ticks - 1), "0")
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(write)
        os.read(read, 1)  # until the parent closes its end
        os._exit(0)
    assert [one.pid for one in Family(this_process(), "0").workers()] == [pid]
    assert other.workers() == []
    os.close(write)
    os.waitpid(pid, 0)
    os.close(read)


def test_without_a_descriptor_nobody_is_taken_for_dead():
    """Where no file can be opened, who is there lives, who is gone is gone, and the family is looked at again."""
    child, gone = (subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2))
    one, other = (Process(program.pid, start_ticks(program.pid)) for program in (child, gone))
    gone.communicate(b"go\n")

    def look():
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        found = one.alive, other.alive, family().root.ticks
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        return (*found, family().root.pid)

    assert in_child(look) == repr((True, False, 0, family().root.pid))
    child.communicate(b"go\n")


def test_another_users_process_is_alive_without_proc(monkeypatch):
    """That a signal is not permitted says that there is somebody."""
    monkeypatch.setattr(process, "PROC", NO_PROC)

    def look():
        if os.geteuid() == 0:
            os.setuid(65_534)
        return Process(1, 0).alive

    assert in_child(look) == "True"


@pytest.mark.parametrize(("field", "forked"), [(0, False), (1, False), (2, False), (3, True)])
def test_a_fork_has_the_addresses_of_its_parent(tmp_path, field, forked):
    """Of the code's begin and end and of the stack; what comes after them changes while it runs."""
    addresses = [b"70", b"80", b"90", b"100"]
    fake_process(tmp_path, 999_991, 1, addresses, ticks=3)
    addresses[field] = b"75"
    fake_process(tmp_path, os.getpid(), 999_991, addresses)
    found = family(tmp_path)
    parent = Process(999_991, 3)
    assert (found.root, found.starter) == ((parent, None) if forked else (Process(os.getpid(), 7), parent))
    assert found.is_root is not forked


@pytest.mark.parametrize(
    ("title", "above", "forked"),
    [
        (b"gunicorn: worker [app]", b"sh\0run", False),
        (b"sh\0run", b"gunicorn: master [app]", False),
        (b"", b"sh\0run", False),
        (b"sh\0run", None, False),
        (b"python\0app", b"python\0app", True),
    ],
)
def test_commands_tell_where_addresses_are_hidden(tmp_path, title, above, forked):
    """Both of gunicorn, or the same; one that is empty or can't be read is nobody's."""
    fake_process(tmp_path, os.getpid(), 999_991, HIDDEN, command=title)
    fake_process(tmp_path, 999_991, 1, HIDDEN, ticks=3, command=above or b"")
    if above is None:
        (tmp_path / "999991" / "cmdline").unlink()
    assert (family(tmp_path).root == Process(999_991, 3)) is forked


def test_what_the_kernel_says_in_part(tmp_path):
    """A line without the addresses is none, one with no more than them is; a process that vanishes is no worker."""
    own = os.getpid()
    fake_process(tmp_path, own, 1, SHOWN)
    (tmp_path / "900").mkdir()
    (tmp_path / "self").mkdir()
    assert family(tmp_path).workers() == []
    line = (tmp_path / str(own) / "stat").read_bytes()
    fields = line[line.rfind(b")") + 2 :].split()
    for count, ticks in ((26, 7), (25, None)):
        (tmp_path / str(own) / "stat").write_bytes(b"1 (x) " + b" ".join(fields[:count]))
        assert start_ticks(own, tmp_path) == ticks


@pytest.mark.parametrize("module", ["gunicorn.arbiter", "gunicorn.errors"])
def test_without_proc_workers_of_gunicorn_are_their_masters(module):
    """Where gunicorn's master was imported the parent is the root; any other process is its own."""
    program = (
        f"import os, pathlib, {module}; from c2c_broadcast.process import Process, family;"
        "found = family(pathlib.Path('/there/is/none'));"
        "print(found.root == Process(os.getppid(), 0), found.root == Process(os.getpid(), 0), found.namespace)"
    )
    assert run(program) == (["True", "False", "0"] if module == "gunicorn.arbiter" else ["False", "True", "0"])


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
    monkeypatch.setattr(process, "temporary_folder", lambda: tmp_path / "memory")
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
    monkeypatch.setattr(process, "temporary_folder", lambda: tmp_path)
    assert (
        process._join(on_disk=False) == process._join(on_disk=True) == tmp_path / f"c2c-{os.geteuid()}" / family().name
    )


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """Give an empty folder in the place of the shared memory, for this test's process too."""
    monkeypatch.setattr(process, "_SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(process, "_FOLDERS", process._Folders())
    monkeypatch.setattr(process, "temporary_folder", lambda: tmp_path / "none")
    return tmp_path


def test_a_folder_that_somebody_removed_is_made_anew(memory):
    """An operator's cleaning does not break a running service; each name has a folder."""
    folder = service_folder("x")
    assert folder == memory / f"c2c-{os.geteuid()}" / family().name / "x"
    process.shutil.rmtree(memory / f"c2c-{os.geteuid()}")
    assert service_folder("x").is_dir()
    assert (folder.parent / this_process().name).exists()


def test_only_what_this_container_left_is_removed(memory):
    """A folder of another PID namespace may be in use there, and what is no family's is not ours."""
    base = memory / f"c2c-{os.geteuid()}"
    others = [base / name for name in ("1-999999-5", "notes", f"{family().namespace}-notes")]
    left = base / f"{family().namespace}-999999-5"
    for folder in (*others, left):
        folder.mkdir(parents=True)
        (folder / "999999-5").touch()
        (folder / "no-process").touch()
    base.chmod(0o700)
    service_folder("x")
    assert all(folder.exists() for folder in others)
    assert not left.exists()


def test_a_folder_of_another_user_and_a_file_are_refused(memory):
    """Whoever made it could read and change what is in it."""
    base = memory / f"c2c-{os.geteuid()}"
    base.touch(0o600)
    with pytest.raises(PermissionError, match="not a folder of this user alone"):
        service_folder("x")
    base.unlink()
    if os.geteuid() == 0:  # only root can give it away
        base.mkdir(0o700)
        os.chown(base, 65_534, -1)
        with pytest.raises(PermissionError, match="not a folder of this user alone"):
            service_folder("x")


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


def test_an_owner_that_fails_is_named(caplog):
    """When all have had their turn, in the child."""

    class Broken:
        def after_fork(self):
            raise RuntimeError("as it happens")

    broken = Broken()
    at_fork(broken)
    told = in_child(lambda: [record.getMessage() for record in caplog.records])
    assert f"{Broken.__qualname__}.after_fork failed" in told


ONE_END = """
import multiprocessing, sys
from c2c_broadcast.process import at_exit
class Owner:
    def at_exit(self):
        print("end", multiprocessing.parent_process() is None, flush=True)
def child():
    for _ in range(2):
        at_exit(owner)
owner = Owner()
if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process(target=child)
    process.start()
    process.join()
"""


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_an_end_is_told_once(tmp_path, how):
    """Also where it was asked for twice, only in a child of multiprocessing, and not by its parent then."""
    program = tmp_path / "program.py"
    program.write_text(ONE_END)
    done = subprocess.run([sys.executable, program, how], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["end False"]


@pytest.mark.parametrize("what", ["Worker('c2c', hang).wake()", "Pool('c2c').submit(hang)"])
def test_a_program_ends_whatever_its_threads_do(what):
    """They are daemons: what hangs in one keeps no process."""
    program = f"import threading; from c2c_broadcast.process import *; hang = threading.Event().wait; {what}"
    assert run(program) == []


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


def test_a_wake_just_when_the_thread_ends_is_not_lost():
    """When it has let go of the lock for the last time, who puts something in has another thread started."""
    items, threads, released = [], [], []

    def work():
        threads.append(threading.current_thread())
        items.clear()

    class Lock:
        real = threading.RLock()

        def __enter__(self):
            self.real.acquire()

        def __exit__(self, *_):
            self.real.release()
            if threads and threading.current_thread() is threads[0]:
                released.append(1)
                if len(released) == 2:  # the first time was before the close
                    items.append(1)
                    worker.wake()

    worker = Worker("c2c-test", work)
    worker._lock = Lock()
    worker.wake()
    until(lambda: released)
    assert worker.close(60)
    until(lambda: len(threads) > 2 and not items)
    assert threads[-1] is not threads[0]
    assert worker.close(60)


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


def test_a_worker_that_does_not_end_is_there_still():
    """After a close in vain it runs, as it was not abandoned, and a wake has this same thread work."""
    go, threads = threading.Event(), []

    def work():
        threads.append(threading.current_thread())
        go.wait(60)

    worker = Worker("c2c-test", work)
    worker.wake()
    until(lambda: threads)
    assert worker.close(timeout=0.01) is False
    assert worker.running
    assert worker.closing
    worker.wake()
    go.set()
    assert worker.close(timeout=60)
    assert set(threads) == {threads[0]}
    assert not worker.closing


def test_a_worker_whose_thread_was_ended(monkeypatch):
    """By what is no Exception: nobody waits for it, and the next wake starts another."""
    calls = []
    monkeypatch.setattr(threading, "excepthook", lambda raised: None)  # pytest's makes a failure of it

    def work():
        calls.append(threading.current_thread())
        if len(calls) == 1:
            raise SystemExit

    worker = Worker("c2c-test", work)
    worker.wake()
    until(lambda: calls)
    calls[0].join(60)
    assert not worker.running
    worker.wake()
    until(lambda: len(calls) == 2)
    assert worker.close(timeout=60)


def test_a_worker_that_nobody_wakes_does_nothing(caplog):
    """Between two wakes it is not called, unless it said so; after an error it is, when ``retry`` is over."""
    calls, seen = [], threading.Event()

    def work():
        calls.append(1)
        seen.set()
        raise RuntimeError("as it happens")

    worker = Worker("c2c-test", work, retry=1_000)
    for count in range(1, 4):
        seen.clear()
        worker.wake()
        assert seen.wait(60)
        assert len(calls) == count
    assert worker.close(60)
    assert len(calls) == 4
    assert len(caplog.records) == 1


def test_the_bounds_of_a_pool_that_names_none():
    """Eight threads, and a thousand jobs that wait."""
    pool, go = Pool("c2c-test"), threading.Event()
    for _ in range(8):
        pool.submit(lambda: go.wait(60))
    until(lambda: not pool.queued)
    for _ in range(1_000):
        pool.submit(int)
    assert (pool.count, pool.queued) == (8, 1_000)
    with pytest.raises(BusyError, match="1,000 jobs wait"):
        pool.submit(int)
    go.set()
    until(lambda: not pool.queued)
    pool.close()
    until(lambda: pool.count == 0)


@pytest.mark.parametrize("closed", [False, True])
def test_one_job_at_a_time_takes_one_thread(closed):
    """The one that waits is woken, and none is started; also in a pool that was closed before."""
    pool, ran = Pool("c2c-test"), []
    if closed:
        pool.close()
    for count in range(1, 21):
        pool.submit(lambda: ran.append(threading.current_thread()), "kind", 1)
        until(lambda count=count: len(ran) == count and (pool._free or not pool.count))
        assert pool.count == 1
    assert set(ran) == {ran[0]}
    pool.close()
    until(lambda: pool.count == 0)
    assert pool._free == []


@pytest.mark.parametrize("kinds", [["a", "b", None], [None]])
def test_a_limit_holds_while_threads_come_and_go(kinds):
    """However jobs and idle threads meet, no kind has more than its limit at once, and none is held for good."""
    pool, lock = Pool("c2c-test", threads=6, idle=0.001, queued=10_000), threading.Lock()
    inside, most, done = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0), []

    def job(kind):
        with lock:
            inside[kind] += 1
            most[kind] = max(most[kind], inside[kind])
        time.sleep(0.0005)
        with lock:
            inside[kind] -= 1
            done.append(kind)

    def submit():
        for number in range(300):
            kind = kinds[number % len(kinds)]
            pool.submit(functools.partial(job, kind), kind, 2)
            if number % 30 == 0:
                time.sleep(0.005)

    callers = [threading.Thread(target=submit) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    until(lambda: len(done) == 900)
    assert max(most.values()) == 2
    until(lambda: pool.count == 0)
    assert (pool._free, pool._running.total()) == ([], 0)
    pool.submit(done.clear)
    until(lambda: not done)


def test_a_free_place_of_a_kind_is_taken():
    """A second thread is started for a second job of a limit of two, and the third job waits for either."""
    pool, go, running = Pool("c2c-test"), threading.Event(), []

    def job():
        running.append(1)
        go.wait(60)

    for _ in range(3):
        pool.submit(job, None, 2)
    until(lambda: len(running) == 2)
    assert (pool.count, pool.queued) == (2, 1)
    other = threading.Event()
    pool.submit(other.set, "other", 1)
    assert other.wait(60)
    assert (pool.count, pool.queued, len(running)) == (3, 1, 2)
    go.set()
    until(lambda: len(running) == 3)
    pool.close()
    until(lambda: pool.count == 0)


def test_what_an_idle_thread_ran_counts_no_more():
    """A thread that is woken for another kind leaves alone what others of its last kind run."""
    pool, both, go = Pool("c2c-test"), threading.Barrier(2), threading.Event()
    for _ in range(2):
        pool.submit(both.wait, "kind", 2)
    until(lambda: len(pool._free) == 2)
    second = threading.Event()
    pool.submit(lambda: go.wait(60), "kind", 1)
    for _ in range(2):
        until(lambda: len(pool._free) == 1)
        other = threading.Event()
        pool.submit(other.set, "other")
        assert other.wait(60)
        if not pool.queued:
            until(lambda: len(pool._free) == 1)
            pool.submit(second.set, "kind", 1)
    assert not second.is_set()
    go.set()
    assert second.wait(60)
    pool.close()
    until(lambda: pool.count == 0)


def test_where_there_is_no_further_thread_the_others_do_it():
    """A job is refused by the system's want of threads only where the pool has none."""
    pool, go, done = Pool("c2c-test"), threading.Event(), threading.Event()
    pool.submit(lambda: go.wait(60))
    until(lambda: not pool.queued)
    before = threading.stack_size(1 << 46)
    try:
        pool.submit(done.set)
        assert (pool.count, pool.queued) == (1, 1)
    finally:
        threading.stack_size(before)
    go.set()
    assert done.wait(60)
    pool.close()
    until(lambda: pool.count == 0)


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


_HELD = """
import os, sys, tempfile, threading, time
from pathlib import Path
from c2c_broadcast import broadcast, cached, process
process._SHARED_MEMORY = Path(sys.argv[1])
broadcast.init({}, environ={})
broadcast.subscribe("x", lambda: 1)
parent, begun = os.getpid(), threading.Event()

class One:
    @cached
    def it(self):
        if os.getpid() == parent:
            begun.set()
            time.sleep(60)
        return 1

tempfile._once_lock.acquire()  # as a thread has it that looks for the folder for the first time
threading.Thread(target=lambda: One().it, daemon=True).start()
begun.wait()
child = os.fork()
if child == 0:
    os._exit(0 if One().it == 1 and broadcast.ask("x", timeout=20).answers == [1] else 3)
done = os.waitpid(child, 0)[1]
os._exit(os.waitstatus_to_exitcode(done))
"""


@pytest.mark.parametrize("memory", ["/dev/shm", "/nowhere"])
def test_locks_of_the_library_that_are_held_at_a_fork(memory):
    """A child asks, and computes what is kept, whatever another thread of the parent was doing in the library."""
    done = subprocess.run([sys.executable, "-c", _HELD, memory], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_the_folder_for_temporary_files(monkeypatch, tmp_path):
    """It is the one that tempfile has: what was set, else the first usable one of the environment, else /tmp."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    found = [process.temporary_folder()]
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    found.append(process.temporary_folder())
    monkeypatch.setenv("TMP", str(tmp_path))
    found.append(process.temporary_folder())
    monkeypatch.setattr("tempfile.tempdir", "/set")
    assert [*found, process.temporary_folder()] == [Path("/tmp"), Path("/tmp"), tmp_path, Path("/set")]
