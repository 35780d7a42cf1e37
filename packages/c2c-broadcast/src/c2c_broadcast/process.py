"""This process, its family, and what lives in it: forks, background threads, a private folder.

A *family* is the processes that were forked, without a program started anew, from one root: gunicorn's workers and
their master, uWSGI's, the children of ``multiprocessing``'s fork. They are one service on this host. ``family()`` finds
them, ``service_folder()`` is a folder that they share with nobody else.

Nothing here starts a thread, makes a folder or registers anything when it is imported. All of it works in threads, in
children forked from any thread, and with gevent's patched standard library, whether patched before or after the import:
what can wait is made by whoever first uses it, in the process that uses it.
"""

import atexit
import contextlib
import logging
import os
import shutil
import socket
import stat
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

__all__ = [
    "BusyError",
    "Family",
    "Pool",
    "Process",
    "Worker",
    "at_exit",
    "at_fork",
    "family",
    "host_name",
    "service_folder",
    "start_ticks",
    "this_process",
]

_LOG = logging.getLogger(__name__)

PROC = Path("/proc")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 # what is in it is looked into with care, below
# Fields of /proc/<pid>/stat (proc_pid_stat(5)), counted from the one after the name, "state".
_STATE, _PARENT, _STARTED = 0, 1, 19
_ADDRESSES = slice(23, 26)  # of code and stack: a fork keeps them, the kernel chooses them anew for each program
_DEAD = frozenset({b"Z", b"X", b"x"})
_GUNICORN = "gunicorn.arbiter"


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
        """Whether it still runs; one that is stopped does, a zombie does not."""
        return self.alive_in(PROC)

    def alive_in(self, proc: Path) -> bool:
        """Tell it by another ``/proc``."""
        if not (proc / "self/stat").exists():
            return _signal_reaches(self.pid)
        return start_ticks(self.pid, proc) == self.ticks


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

    def workers(self) -> list[Process]:
        """Return the living processes that the root itself forked: the workers of gunicorn and of uWSGI.

        A process that the root started with another program is none. Empty where ``/proc`` can't be read.
        """
        above = _stat(self.proc, self.root.pid)
        if above is None or int(above[_STARTED]) != self.root.ticks:
            return []
        found = []
        for pid in _children(self.proc, self.root.pid):
            fields = _stat(self.proc, pid)
            if fields is not None and fields[_STATE] not in _DEAD and _forked(self.proc, pid, fields, above):
                found.append(Process(pid, int(fields[_STARTED])))
        return sorted(found)


def family(proc: Path = PROC) -> Family:
    """Return the family of the current process.

    Each parent is looked at while it runs the same program at the same addresses (a program started anew gets others);
    where the kernel hides the addresses of another user's parent (gunicorn's ``--user``) by command line; without
    ``/proc`` gunicorn's workers belong to their parent, and any other process is a family of its own.
    """
    key = (os.getpid(), proc)
    found = _FOUND.families.get(key)
    if found is None:
        # What was found stays: a parent that ends meanwhile makes no other family of those it leaves.
        root, starter = _root(proc)
        found = Family(root, _namespace(proc), proc, starter)
        _FOUND.families = {**{known: one for known, one in _FOUND.families.items() if known[0] == key[0]}, key: found}
    return found


def _root(proc: Path) -> tuple[Process, Process | None]:
    pid = os.getpid()
    fields = _stat(proc, pid)
    if fields is None:
        return Process(os.getppid() if _GUNICORN in sys.modules else pid, 0), None
    while True:
        parent = int(fields[_PARENT])
        above = _stat(proc, parent)
        if above is None:
            return Process(pid, int(fields[_STARTED])), None
        if not _forked(proc, pid, fields, above):
            return Process(pid, int(fields[_STARTED])), Process(parent, int(above[_STARTED]))
        pid, fields = parent, above


def _forked(proc: Path, pid: int, fields: list[bytes], above: list[bytes]) -> bool:
    """Tell whether a process was forked from its parent and runs the same program still."""
    shown = [any(int(address) > 1 for address in one[_ADDRESSES]) for one in (fields, above)]
    if all(shown):
        return fields[_ADDRESSES] == above[_ADDRESSES]
    if pid == os.getpid() and _GUNICORN in sys.modules:
        return True
    command, other = _command(proc, pid), _command(proc, int(fields[_PARENT]))
    # With setproctitle gunicorn names itself "gunicorn: master [app]" and "gunicorn: worker [app]".
    titles = command.startswith(b"gunicorn: ") and other.startswith(b"gunicorn: ")
    return bool(command) and (command == other or titles)


def _children(proc: Path, pid: int) -> list[int]:
    try:
        lists = [(task / "children").read_bytes() for task in (proc / str(pid) / "task").iterdir()]
        return [int(child) for line in lists for child in line.split()]
    except (OSError, ValueError):  # a kernel without CONFIG_PROC_CHILDREN, or a thread that ended
        with contextlib.suppress(OSError):
            pids = [int(path.name) for path in proc.iterdir() if path.name.isdigit()]
            return [one for one in pids if (fields := _stat(proc, one)) is not None and int(fields[_PARENT]) == pid]
        return []


def _command(proc: Path, pid: int) -> bytes:
    try:
        return (proc / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def _namespace(proc: Path) -> str:
    try:
        return "".join(char for char in os.readlink(proc / "self/ns/pid") if char.isdigit())  # noqa: PTH115 # no path
    except OSError:
        return "0"


def _stat(proc: Path, pid: int) -> list[bytes] | None:
    try:
        text = (proc / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name is in parentheses, and may itself hold parentheses and spaces.
    fields = text[text.rfind(b")") + 2 :].split()
    return fields if len(fields) >= _ADDRESSES.stop else None


def _signal_reaches(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
    folder = _FOUND.folders.get(key)
    if folder is None or not folder.is_dir():
        folder = _FOUND.folders[key] = _join(on_disk)
        at_exit(_FOUND)
    path = folder / name
    _private(path)
    return path


def _join(on_disk: bool) -> Path:
    failure: OSError | None = None
    for parent in (Path(tempfile.gettempdir()),) if on_disk else (_SHARED_MEMORY, Path(tempfile.gettempdir())):
        base = parent / f"c2c-{os.geteuid()}"
        try:
            _private(base)
            folder = base / family().name
            _private(folder)
            (folder / this_process().name).touch(0o600)  # says: this process uses the folder
        except OSError as error:
            failure = failure or error
        else:
            _remove_ended(base, folder)
            return folder
    assert failure is not None
    raise failure


def _private(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise PermissionError(f"{path} is not a folder of this user alone: remove it")


def _users(folder: Path) -> Iterator[Process]:
    """Yield the processes that use a folder of a family, or used it."""
    for file in folder.iterdir():
        with contextlib.suppress(ValueError):
            yield Process.parse(file.name)


def _remove_ended(base: Path, own: Path) -> None:
    """Remove the folders of families of this container that ended."""
    for path in base.iterdir():
        name = path.name
        with contextlib.suppress(OSError, ValueError):
            namespace, _, root = name.partition("-")
            if name == own.name or namespace != family().namespace or Process.parse(root).alive:
                continue
            if not any(process.alive for process in _users(path)):
                shutil.rmtree(path, ignore_errors=True)


class _Found:
    """What this process found of itself, by pid: a child finds its own."""

    def __init__(self) -> None:
        self.families: dict[tuple[int, Path], Family] = {}
        self.folders: dict[tuple[int, int, bool], Path] = {}

    def at_exit(self) -> None:
        """Remove the family's folders, where this is its last process."""
        own, root, forked = this_process(), family().root, family().workers()
        last = not forked if root == own else not root.alive
        for (pid, _, _), folder in self.folders.items():
            if pid != own.pid:
                continue
            with contextlib.suppress(OSError):
                (folder / own.name).unlink()
                if last and not any(process.alive for process in _users(folder)):
                    shutil.rmtree(folder, ignore_errors=True)
        self.folders.clear()


_FOUND = _Found()

# -- forks and ends ---------------------------------------------------------------------------------------------------


class _Forkable(Protocol):
    def after_fork(self) -> None: ...


class _Ending(Protocol):
    def at_exit(self) -> None: ...


class _Owners:
    """Objects, held weakly, in the order in which they were added. No lock: a fork may come at any moment."""

    def __init__(self) -> None:
        self._owners: dict[int, weakref.ref[Any]] = {}
        self.registered = False
        self.finalized_in = 0  # the process of multiprocessing whose end is watched

    def add(self, owner: Any) -> bool:
        """Add an owner, once; tell whether it is the first of all."""
        key = id(owner)
        known = self._owners.get(key)
        if known is None or known() is not owner:
            self._owners[key] = weakref.ref(owner, lambda gone: self._drop(key, gone))
        first, self.registered = not self.registered, True
        return first

    def call(self, method: str) -> None:
        """Call the method of each; one that fails is logged, and the others still have their turn."""
        failed: list[tuple[str, Exception]] = []
        for reference in tuple(self._owners.values()):
            owner = reference()
            try:
                if owner is not None:
                    getattr(owner, method)()
            except Exception as error:  # noqa: BLE001 # the others must have their turn before this is logged
                failed.append((type(owner).__qualname__, error))
        for name, raised in failed:
            _LOG.error("%s.%s failed", name, method, exc_info=raised)

    def _drop(self, key: int, gone: "weakref.ref[Any]") -> None:
        if self._owners.get(key) is gone:
            del self._owners[key]


_FORKED = _Owners()
_ENDING = _Owners()


def at_fork(owner: _Forkable) -> None:
    """Call ``owner.after_fork()`` in each forked child of this process from now on, as long as ``owner`` lives.

    Owners are held weakly and called in the order in which they were added, before the child goes on. What they are to
    do: make their locks anew (another thread of the parent may have held them), and forget threads, sockets and what
    is the parent's to finish. They do not start threads, which come back with their next use.
    """
    if _FORKED.add(owner):
        os.register_at_fork(after_in_child=partial(_FORKED.call, "after_fork"))


def at_exit(owner: _Ending) -> None:
    """Call ``owner.at_exit()`` when this process ends, and in forked children of it, as long as ``owner`` lives.

    Also in a child of ``multiprocessing``, which ends without ``atexit``; not where the process is killed or ends by
    ``os._exit``. Call it again in a child where the owner is used there first: twice is fine.
    """
    if _ENDING.add(owner):
        atexit.register(_ENDING.call, "at_exit")
    util, process = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None or _ENDING.finalized_in == os.getpid():
        return
    _ENDING.finalized_in = os.getpid()
    util.Finalize(None, _ENDING.call, args=("at_exit",), exitpriority=0)


# -- threads ----------------------------------------------------------------------------------------------------------


class _Run:
    """One life of a worker's thread."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.done = threading.Event()
        self.closing = False
        self.thread: threading.Thread | None = None


class Worker:
    """A daemon thread that does ``work()`` whenever it is woken.

        self._worker = Worker("c2c-x", self._send_all)
        ...
        self._queue.append(item)
        self._worker.wake()

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
        self._complained = 0.0

    def wake(self) -> bool:
        """Have ``work()`` called soon; returns at once. False where the system has no thread to give."""
        starts = False
        with self._lock:
            run = self._run
            if run is None:
                run = self._run = _Run()
                starts = True
            run.event.set()
        if starts:
            run.thread = threading.Thread(target=self._loop, args=(run,), name=self._name, daemon=True)
            try:
                run.thread.start()
            except RuntimeError:
                with self._lock:
                    self._run = None
                run.done.set()
                return False
        return True

    def close(self, timeout: float = 2.0) -> bool:
        """Let ``work()`` be called a last time and the thread end; a later ``wake()`` starts it again.

        Waits at most ``timeout`` seconds, and tells whether it has ended. Called by ``work()`` itself it does not wait.
        """
        with self._lock:
            run = self._run
            if run is None:
                return True
            run.closing = True
            run.event.set()
        return self.is_own_thread or run.done.wait(timeout)

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
                delay = self._call()
                if closing:
                    with self._lock:
                        if not run.event.is_set():
                            self._run = None
                            return
        finally:
            with self._lock:
                if self._run is run:
                    self._run = None
            run.done.set()

    def _call(self) -> float | None:
        try:
            return self._work()
        except Exception:  # noqa: BLE001 # the boundary of the thread, which goes on
            if not self._complained or time.monotonic() - self._complained > 60:  # noqa: PLR2004 # seconds
                self._complained = time.monotonic()
                _LOG.exception("Thread %s: it goes on", self._name)
            return self._retry


class BusyError(Exception):
    """A pool has as many jobs waiting as it may."""


@dataclass(slots=True)
class _Kind:
    running: int = 0
    waiting: "deque[Callable[[], Any]]" = field(default_factory=deque)


class _Crew:
    """The threads of a pool, from the first job to the close; made where the first job is submitted."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.ready: deque[tuple[Hashable, Callable[[], Any]]] = deque()
        self.kinds: dict[Hashable, _Kind] = {}
        self.threads = 0
        self.free = 0
        self.queued = 0
        self.closed = False


class Pool:
    """Daemon threads that run jobs: started when needed, at most ``threads``, gone when idle for ``idle`` seconds.

    At most ``queued`` jobs wait, more are refused. Of one kind at most ``limit`` run at a time; others of that kind
    wait without holding a thread. In a forked child the pool is empty: what was submitted is the parent's to do.
    """

    def __init__(self, name: str, threads: int = 8, *, queued: int = 1_000, idle: float = 60.0) -> None:
        self._name = name
        self._most = threads
        self._queued = queued
        self._idle = idle
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin empty, in the child."""
        self._lock = threading.Lock()
        self._crew: _Crew | None = None

    @property
    def count(self) -> int:
        """How many threads there are."""
        crew = self._crew
        return crew.threads if crew is not None else 0

    @property
    def queued(self) -> int:
        """How many jobs wait for a thread."""
        crew = self._crew
        return crew.queued if crew is not None else 0

    def submit(self, job: Callable[[], Any], kind: Hashable = None, limit: int | None = None) -> None:
        """Run ``job()`` in a thread; what it returns is dropped, what it raises logged.

        Raises:
            BusyError: Too many jobs wait already, or the system has no thread to give and the pool has none.
        """
        crew, starts = self._open(), False
        with crew.changed:
            if crew.queued >= self._queued:
                raise BusyError(f"{self._name}: {self._queued:,} jobs wait already")
            crew.queued += 1
            known = crew.kinds.setdefault(kind, _Kind())
            if limit is not None and known.running >= limit:
                known.waiting.append(job)
                return
            known.running += 1
            crew.ready.append((kind, job))
            if len(crew.ready) <= crew.free:
                crew.changed.notify()
            elif crew.threads < self._most:
                crew.threads += 1
                starts = True
        if starts:
            self._start(crew, kind, job)

    def close(self) -> None:
        """Let the threads end, each after the jobs that wait. A job submitted later starts a thread again."""
        with self._lock:
            crew, self._crew = self._crew, None
        if crew is not None:
            with crew.changed:
                crew.closed = True
                crew.changed.notify_all()

    def _open(self) -> _Crew:
        with self._lock:
            if self._crew is None:
                self._crew = _Crew()
            return self._crew

    def _start(self, crew: _Crew, kind: Hashable, job: Callable[[], Any]) -> None:
        try:
            threading.Thread(target=self._work, args=(crew,), name=self._name, daemon=True).start()
        except RuntimeError as error:
            with crew.changed:
                crew.threads -= 1
                if crew.threads or (kind, job) not in crew.ready:
                    return  # one that is there does it
                crew.ready.remove((kind, job))
                crew.queued -= 1
                self._ended(crew, kind)
            raise BusyError(f"{self._name}: {error}") from error

    def _work(self, crew: _Crew) -> None:
        while (item := self._next(crew)) is not None:
            kind, job = item
            try:
                job()
            except Exception:  # noqa: BLE001 # the boundary of the job
                _LOG.exception("Thread %s: a job failed", self._name)
            del job, item  # what it holds (a request, a session) is not kept by an idle thread
            with crew.changed:
                self._ended(crew, kind)

    def _next(self, crew: _Crew) -> tuple[Hashable, Callable[[], Any]] | None:
        with crew.changed:
            while not crew.ready:
                crew.free += 1
                # A job that comes in the moment of the time-out is seen by the look at ``ready``.
                in_time = not crew.closed and crew.changed.wait(self._idle)
                crew.free -= 1
                if not in_time and not crew.ready:
                    crew.threads -= 1
                    return None
            crew.queued -= 1
            return crew.ready.popleft()

    def _ended(self, crew: _Crew, kind: Hashable) -> None:
        """Count the end of a job, under the crew's lock; the next of its kind is ready."""
        known = crew.kinds[kind]
        known.running -= 1
        if known.waiting:
            known.running += 1
            crew.ready.append((kind, known.waiting.popleft()))
        elif not known.running:
            del crew.kinds[kind]
