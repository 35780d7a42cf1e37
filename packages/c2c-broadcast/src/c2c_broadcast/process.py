"""This process, its family, and what lives in it: forks, background threads, a private folder.

A *family* is the processes that were forked, without a program started anew, from one root: gunicorn's workers and
their master, uWSGI's, the children of ``multiprocessing``'s fork. They are one service on this host.

Nothing here starts a thread, makes a folder or registers anything when it is imported. All of it works in threads, in
children forked from any thread, and with gevent's patched standard library, whether patched before or after the import:
what can wait is made by whoever first uses it, in the process that uses it.
"""

import atexit
import contextlib
import functools
import logging
import os
import queue
import shutil
import socket
import stat
import sys
import tempfile
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_LOG = logging.getLogger(__name__)

PROC = Path("/proc")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 # as tempfile has them
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 # what is in it is looked into with care, below
# Fields of /proc/<pid>/stat (proc_pid_stat(5)), counted from the one after the name, "state".
_STATE, _PARENT, _STARTED = 0, 1, 19
_ADDRESSES = slice(23, 26)  # of code and stack: a fork keeps them, the kernel chooses them anew for each program
_DEAD = frozenset({b"Z", b"X", b"x"})


def host_name() -> str:
    """Return the one name of this host for logs, members, metrics and error reports."""
    return socket.gethostname() or "localhost"


# -- which processes are one service ----------------------------------------------------------------------------------


def start_ticks(pid: int, proc: Path = PROC) -> int | None:
    """Return when a process started, in the kernel's clock ticks since the boot (field 22 of ``/proc/<pid>/stat``).

    With the pid it names a process for good: a later one of the same pid has other ticks. None where there is no such
    process; one that ended and that nobody waited for (a zombie) is none.
    """
    fields = _stat(proc, pid)
    return None if fields is None or fields[_STATE] in _DEAD else int(fields[_STARTED])


@dataclass(frozen=True, slots=True, order=True)
class Process:
    """A process; ``ticks`` (see ``start_ticks``) is 0 where there is no ``/proc``."""

    pid: int
    ticks: int

    @classmethod
    def parse(cls, name: str) -> "Process":
        """Return the process that ``name`` names; more parts after a further ``-`` are ignored.

        Raises:
            ValueError: It names none.
        """
        pid, ticks = name.split("-")[:2]
        return cls(int(pid), int(ticks))

    @property
    def name(self) -> str:
        """``<pid>-<ticks>``, for names of files."""
        return f"{self.pid}-{self.ticks}"

    @property
    def alive(self) -> bool:
        """Whether it still runs; one that is stopped does, a zombie does not. What there is and can't be read does."""
        try:
            with contextlib.suppress(PermissionError):  # another user's
                os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        fields = _stat(PROC, self.pid)
        return fields is None or (fields[_STATE] not in _DEAD and int(fields[_STARTED]) == self.ticks)

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop for a while (SIGSTOP) or is traced, so that it answers nobody."""
        fields = _stat(PROC, self.pid)
        return fields is not None and fields[_STATE] in {b"T", b"t"}


def this_process(proc: Path = PROC) -> Process:
    """Return the current process."""
    return Process(os.getpid(), start_ticks(os.getpid(), proc) or 0)


@dataclass(frozen=True, slots=True)
class Family:
    """The processes of one service on this host.

    ``root`` is the process that all were forked from: gunicorn's master, or this process itself. ``namespace`` is the
    number of the PID namespace, which tells the processes of one container from another's. ``starter`` is the process
    that started the root: after gunicorn's USR2 the master before it.
    """

    root: Process
    namespace: str
    proc: Path = PROC
    starter: Process | None = None

    @property
    def name(self) -> str:
        """The same text in all processes of the family, and in no other: ``<namespace>-<pid>-<ticks>`` of the root."""
        return f"{self.namespace}-{self.root.name}"

    @property
    def is_root(self) -> bool:
        """Whether the current process is the root."""
        return self.root.pid == os.getpid()

    def workers(self, known: Collection[int] = ()) -> list[Process]:
        """Return the living processes that the root itself forked (workers of gunicorn or uWSGI) but these ``known``.

        A process that the root started with another program is none. Empty where ``/proc`` can't be read.
        """
        above = _stat(self.proc, self.root.pid)
        if above is None or int(above[_STARTED]) != self.root.ticks:
            return []
        found = []
        for pid in _children(self.proc, self.root.pid):
            fields = None if pid in known else _stat(self.proc, pid)
            if fields is not None and fields[_STATE] not in _DEAD and _forked(self.proc, pid, fields, above):
                found.append(Process(pid, int(fields[_STARTED])))
        return sorted(found)


def family(proc: Path = PROC) -> Family:
    """Return the family of the current process.

    Each parent is looked at while it runs the same program at the same addresses (a program started anew gets others);
    where the kernel hides the addresses of another user's parent (gunicorn's ``--user``) by command line; without
    ``/proc`` gunicorn's workers belong to their parent, and any other process is a family of its own.
    """
    found = _family(os.getpid(), proc)
    if not found.root.ticks and (proc / "self/stat").exists():  # no descriptor was free to look
        _family.cache_clear()
    return found


@functools.lru_cache(4)  # what was found stays: a parent that ends meanwhile makes no other family of those it leaves
def _family(pid: int, proc: Path) -> Family:
    fields, starter = _stat(proc, pid), None
    if fields is None:
        return Family(Process(os.getppid() if "gunicorn.arbiter" in sys.modules else pid, 0), "0", proc)
    while (above := _stat(proc, parent := int(fields[_PARENT]))) is not None:
        if not _forked(proc, pid, fields, above):
            starter = Process(parent, int(above[_STARTED]))
            break
        pid, fields = parent, above
    namespace = "0"
    with contextlib.suppress(OSError):
        namespace = "".join(filter(str.isdigit, os.readlink(proc / "self/ns/pid")))  # noqa: PTH115 # it is no path
    return Family(Process(pid, int(fields[_STARTED])), namespace, proc, starter)


def _forked(proc: Path, pid: int, fields: list[bytes], above: list[bytes]) -> bool:
    """Tell whether a process was forked from its parent and runs the same program still."""
    if all(any(int(address) > 1 for address in one[_ADDRESSES]) for one in (fields, above)):
        return fields[_ADDRESSES] == above[_ADDRESSES]
    with contextlib.suppress(OSError):
        command, other = [(proc / str(one) / "cmdline").read_bytes() for one in (pid, int(fields[_PARENT]))]
        # With setproctitle gunicorn names itself "gunicorn: master [app]" and "gunicorn: worker [app]".
        titles = command.startswith(b"gunicorn: ") and other.startswith(b"gunicorn: ")
        return bool(command) and (command == other or titles)
    return False


def _children(proc: Path, pid: int) -> list[int]:
    try:
        lists = [(task / "children").read_bytes() for task in (proc / str(pid) / "task").iterdir()]
        return [int(child) for line in lists for child in line.split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN, or a thread that ended
        with contextlib.suppress(OSError):
            pids = [int(path.name) for path in proc.iterdir() if path.name.isdigit()]
            return [one for one in pids if (fields := _stat(proc, one)) is not None and int(fields[_PARENT]) == pid]
        return []


def _stat(proc: Path, pid: int) -> list[bytes] | None:
    try:
        text = (proc / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name is in parentheses, and may itself hold parentheses and spaces.
    fields = text[text.rfind(b")") + 2 :].split()
    return fields if len(fields) >= _ADDRESSES.stop else None


# -- a folder for the family ------------------------------------------------------------------------------------------


def service_folder(name: str, *, on_disk: bool = False) -> Path:
    """Return the folder ``name`` of this family, made if need be: this user's alone (0700), the same in all processes.

    It is in shared memory (``/dev/shm``), or with ``on_disk=True``, and where there is no shared memory, in the folder
    for temporary files. What a process that was killed left in it is there for those that are left. The last process
    of the family removes all of it when it ends; where that was not possible (SIGKILL; gunicorn's master, which has
    not imported this), the next service that this user starts does.

    Raises:
        OSError: It can't be had, or what has its name is another user's, a link, or open to others; the message
            names it.
    """
    key = (os.getpid(), os.geteuid(), on_disk)
    folder = _FOLDERS.get(key)
    if folder is None or not folder.is_dir():
        folder = _FOLDERS[key] = _join(on_disk)
        at_exit(_FOLDERS)
    path = folder / name
    _private(path)
    return path


class _Folders(dict[tuple[int, int, bool], Path]):
    """The folders of this process, and of those that it was forked from."""

    def at_exit(self) -> None:
        """Remove the family's folders, where this is its last process."""
        own, service = this_process(), family()
        others = {service.root, *service.workers()} - {own}
        for folder in [folder for (pid, *_), folder in self.items() if pid == own.pid]:
            with contextlib.suppress(OSError):
                (folder / own.name).unlink()
                _remove_unused(folder, *others)


_FOLDERS = _Folders()


def temporary_folder() -> Path:
    """Return the folder for temporary files that ``tempfile.gettempdir`` would, without its lock.

    It holds that while it looks for the folder, and a child that is forked meanwhile waits for it for ever.
    """
    named = (*map(os.environ.get, ("TMPDIR", "TEMP", "TMP")), *_TEMPORARY)
    usable = (one for one in named if one and os.access(one, os.W_OK | os.X_OK))
    return Path(tempfile.tempdir or next(usable, _TEMPORARY[0]))


def _join(on_disk: bool) -> Path:
    failure: OSError | None = None
    for parent in (temporary_folder(),) if on_disk else (_SHARED_MEMORY, temporary_folder()):
        base = parent / f"c2c-{os.geteuid()}"
        folder = base / family().name
        try:
            _private(base)
            _private(folder)
            (folder / this_process().name).touch(0o600)  # says: this process uses the folder
        except OSError as error:
            failure = failure or error
            continue
        for path in base.iterdir():  # of families of this container that ended; this one's lives
            with contextlib.suppress(OSError, ValueError):
                namespace, _, root = path.name.partition("-")
                if namespace == family().namespace:
                    _remove_unused(path, Process.parse(root))
        return folder
    assert failure is not None
    raise failure


def _private(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise PermissionError(f"{path} is not a folder of this user alone: remove it")


def _remove_unused(folder: Path, *others: Process) -> None:
    """Remove a folder, unless one of ``others`` or of the processes that said to use it lives."""

    def users() -> Iterator[Process]:
        yield from others
        for file in folder.iterdir():
            with contextlib.suppress(ValueError):
                yield Process.parse(file.name)

    if not any(process.alive for process in users()):
        shutil.rmtree(folder, ignore_errors=True)


# -- forks and ends ---------------------------------------------------------------------------------------------------


class _Forkable(Protocol):
    def after_fork(self) -> None: ...


class _Ending(Protocol):
    def at_exit(self) -> None: ...


class _Owners(list["weakref.ref[Any]"]):
    """Objects, held weakly, in the order in which they were added. No lock: a fork may come at any moment."""

    registered = False

    def add(self, owner: Any) -> bool:
        """Add an owner, once; tell whether it is the first of all."""
        if not any(reference() is owner for reference in tuple(self)):
            self.append(weakref.ref(owner, self.remove))
        first, self.registered = not self.registered, True
        return first

    def call(self, method: str) -> None:
        """Call the method of each; one that fails is logged, when the others have had their turn."""
        failed: list[tuple[str, Exception]] = []
        for owner in [reference() for reference in self]:
            try:
                if owner is not None:
                    getattr(owner, method)()
            except Exception as error:  # noqa: BLE001 # the others must have their turn before this is logged
                failed.append((type(owner).__qualname__, error))
        for name, raised in failed:
            _LOG.error("%s.%s failed", name, method, exc_info=raised)


_FORKED, _ENDING = _Owners(), _Owners()
_FINALIZED_IN: set[int] = set()  # processes of multiprocessing whose end is watched


def at_fork(owner: _Forkable) -> None:
    """Call ``owner.after_fork()`` in each forked child of this process from now on, as long as ``owner`` lives.

    Owners are held weakly and called in the order in which they were added, before the child goes on. What they are to
    do: make their locks anew (another thread of the parent may have held them), and forget threads, sockets and what
    is the parent's to finish. They do not start threads, which come back with their next use.
    """
    if _FORKED.add(owner):
        os.register_at_fork(after_in_child=functools.partial(_FORKED.call, "after_fork"))


def at_exit(owner: _Ending) -> None:
    """Call ``owner.at_exit()`` when this process ends, and in forked children of it, as long as ``owner`` lives.

    Also in children of ``multiprocessing``, which call it again (twice is fine); not by a kill or ``os._exit``.
    """
    first = _ENDING.add(owner)
    util, process = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.process")
    if util and process and process.parent_process() is not None:  # spawned, and from Python 3.13 on, atexit runs, too
        if os.getpid() not in _FINALIZED_IN:
            _FINALIZED_IN.add(os.getpid())
            util.Finalize(None, _ENDING.call, args=("at_exit",), exitpriority=0)
    elif first:
        atexit.register(_ENDING.call, "at_exit")


# -- threads ----------------------------------------------------------------------------------------------------------


class _Run:
    """One life of a worker's thread; made where it is used, for gevent may patch events after the import."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.done = threading.Event()
        self.closing = False
        self.thread: threading.Thread | None = None


class Worker:
    """A daemon thread that does ``work()`` whenever it is woken.

    The thread starts with the first ``wake()``, in the process that calls it; so it comes back in a forked child, too.
    ``work()`` returns after how many seconds it wants to be called again, None for not before it is woken. It is never
    called twice at a time; wakes that come meanwhile lead to one more call. What it raises is logged, at most once a
    minute, and it is called again at the next wake, or after ``retry`` seconds.
    """

    def __init__(self, name: str, work: Callable[[], float | None], *, retry: float = 5.0) -> None:
        self._name = name
        self._work = work
        self._retry = retry
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin without a thread, in the child."""
        # Reentrant: a finalizer that runs while this thread holds it may wake the same worker.
        self._lock = threading.RLock()
        self._run: _Run | None = None
        self._complained = float("-inf")

    def wake(self) -> bool:
        """Have ``work()`` called soon; returns at once. False where the system has no thread to give."""
        with self._lock:
            run, starts = self._run or _Run(), self._run is None
            self._run = run
            run.event.set()
        if starts:
            run.thread = threading.Thread(target=self._loop, args=(run,), name=self._name, daemon=True)
            try:
                run.thread.start()
            except RuntimeError:
                self._end(run)
                return False
        return True

    def close(self, timeout: float = 2.0, *, abandon: bool = False) -> bool:
        """Let ``work()`` be called a last time and the thread end; a later ``wake()`` starts it again.

        Waits at most ``timeout`` seconds, and tells whether it has ended. Called by ``work()`` itself it does not wait.
        With ``abandon`` the next ``wake()`` starts another thread beside one that did not end in time.
        """
        with self._lock:
            run = self._run
            if run is None:
                return True
            run.closing = True
            run.event.set()
        ended = self.is_own_thread or run.done.wait(timeout)
        with self._lock:
            if abandon and not ended and self._run is run:
                self._run = None
        return ended

    @property
    def running(self) -> bool:
        """Whether there is a thread."""
        return self._run is not None

    @property
    def closing(self) -> bool:
        """Whether ``close()`` waits: ``work()`` may hurry."""
        run = self._run
        return run is not None and run.closing

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs on this worker's thread: what it logs must not come back to it."""
        run = self._run
        return run is not None and run.thread is threading.current_thread()

    def _loop(self, run: _Run) -> None:
        delay: float | None = None
        try:
            while True:
                run.event.wait(delay)
                run.event.clear()
                closing = run.closing  # read after the clear: the last call comes after close()
                try:
                    delay = self._work()
                except Exception:  # noqa: BLE001 # the boundary of the thread, which goes on
                    delay = self._retry
                    if time.monotonic() - self._complained > 60:  # noqa: PLR2004 # seconds
                        self._complained = time.monotonic()
                        _LOG.exception("Thread %s: it goes on", self._name)
                with self._lock:
                    if closing and not run.event.is_set():
                        self._end(run)
                        return
        finally:
            self._end(run)

    def _end(self, run: _Run) -> None:
        with self._lock:
            if self._run is run:
                self._run = None
        run.done.set()


class BusyError(Exception):
    """A pool has as many jobs waiting as it may."""


class NoThreadError(BusyError):
    """The system has no thread to give, and the pool has none."""


class Pool:
    """Daemon threads that run jobs: started when needed, at most ``threads``, gone when idle for ``idle`` seconds.

    At most ``queued`` jobs wait, more are refused. Of one kind at most ``limit`` run at a time; others of that kind
    wait without holding a thread. In a forked child the pool is empty: what was submitted is the parent's to do.
    """

    def __init__(self, name: str, threads: int = 8, *, queued: int = 1_000, idle: float = 60.0) -> None:
        self._name = name
        self._threads = threads
        self._queued = queued
        self._idle = idle
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin empty, in the child."""
        self._lock = threading.Lock()
        self._jobs: deque[tuple[Hashable, int | None, Callable[[], Any]]] = deque()
        self._running: Counter[Hashable] = Counter()
        # Of the threads that wait for a job: the cheapest way to wake one.
        self._free: list[queue.SimpleQueue[None]] = []
        self._closed = False
        self.count = 0  # how many threads there are

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return len(self._jobs)

    def submit(self, job: Callable[[], Any], kind: Hashable = None, limit: int | None = None) -> None:
        """Run ``job()`` in a thread; what it returns is dropped, what it raises logged.

        Raises:
            BusyError: Too many jobs wait already.
            NoThreadError: The system has no thread to give, and the pool has none.
        """
        item = (kind, limit, job)
        with self._lock:
            if len(self._jobs) >= self._queued:
                raise BusyError(f"{self._name}: {self._queued:,} jobs wait already")
            self._jobs.append(item)
            self._closed = False
            # Threads without a job: those that wait for one, and those that were woken or started and look for one.
            able, looking = self._able(), self.count - self._running.total() - len(self._free)
            starts = able > looking + len(self._free) and self.count < self._threads
            if able > looking and self._free:
                self._free.pop().put(None)
            self.count += starts
        if not starts:
            return
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError as error:
            with self._lock:
                self.count -= 1
                if self.count or item not in self._jobs:
                    return  # one that is there does it
                self._jobs.remove(item)
            raise NoThreadError(f"{self._name}: {error}") from error

    def _able(self) -> int:
        """Return how many of the jobs that wait may run now; of a kind at its limit, who runs one takes the next."""
        kinds, able = dict[Hashable, int](), 0
        for kind, limit, _ in self._jobs:
            kinds[kind] = kinds.get(kind, self._running[kind]) + 1
            able += limit is None or kinds[kind] <= limit
        return able

    def close(self) -> None:
        """Let the threads end, each after the jobs that wait. A job submitted later starts a thread again."""
        with self._lock:
            self._closed = True
            while self._free:
                self._free.pop().put(None)

    def _work(self) -> None:
        woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        kind, ran = None, False
        while True:
            with self._lock:
                # One step from a job to the next: a thread between the two would look busy, and another be started.
                if ran:
                    self._running[kind] -= 1
                    if not self._running[kind]:
                        del self._running[kind]
                    ran = False
                item = next((one for one in self._jobs if one[1] is None or self._running[one[0]] < one[1]), None)
                if item is not None:
                    self._jobs.remove(item)
                    self._running[item[0]] += 1
                elif self._closed:
                    self.count -= 1
                    return
                else:
                    self._free.append(woken)
            if item is None:
                with contextlib.suppress(queue.Empty):
                    woken.get(timeout=self._idle)
                    continue
                with self._lock:
                    if woken in self._free:  # else a job came in this moment
                        self._free.remove(woken)
                        self.count -= 1
                        return
                continue
            try:
                item[2]()
            except Exception:  # noqa: BLE001 # the boundary of the job
                _LOG.exception("Thread %s: a job failed", self._name)
            kind, ran = item[0], True
            del item  # what it holds (a request, a session) is not kept by an idle thread
