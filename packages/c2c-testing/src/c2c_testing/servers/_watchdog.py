"""Own one server's processes and folder, and clear both away when the test run that asked for them ends.

A program of its own, of the standard library only: ``python -I -S _watchdog.py <parent of the folder> <owner's uid>``.
Commands come as JSON lines on stdin, ``[number, command, arguments]``, the methods of ``Watchdog``, and are answered on
stdout, ``[number, answer, error]``. When stdin ends or its parent is gone, whatever the reason, it kills every
descendant and removes the folder.

It is the sub-reaper of what it starts (PR_SET_CHILD_SUBREAPER, prctl(2)): a PostgreSQL backend that outlives its
postmaster becomes its child, not init's, so that "every descendant" misses none.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IPC_RMID = 0
_LIBC = ctypes.CDLL(None, use_errno=True)
_POLL = 0.002


def parents() -> dict[int, int]:
    """Return the parent of each living process, from /proc/<pid>/stat (proc(5))."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                # The command's name, in parentheses, may hold anything; the fields follow its end.
                state, parent = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    found[int(process.name)] = int(parent)
    return found


def descendants(root: int) -> list[int]:
    """Return the living descendants of a process, parents before children."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found += sorted(children.get(pid, ()))
    return found[1:]


class Watchdog:
    """One main process at a time, its descendants, and a temporary folder."""

    def __init__(self, folders: str, uid: int) -> None:
        self.uid = uid
        self.folder = tempfile.mkdtemp(prefix="c2c-testing-", dir=folders)
        os.chown(self.folder, uid, -1)
        self.main: subprocess.Popen[bytes] | None = None
        self.seen: set[int] = set()

    def start(self, argv: list[str], env: dict[str, str | None], cwd: str) -> int:
        """Start the main process and answer its id; its output goes to the file ``log``. A None in ``env`` unsets."""
        merged = {**os.environ, **env}
        dropped = self.uid != os.geteuid()
        with Path(self.folder, "log").open("ab") as log:
            self.main = subprocess.Popen(  # noqa: S603 - the command is the test run's own
                argv,
                env={name: value for name, value in merged.items() if value is not None},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # After the change of user, which would reset it: nothing survives even this process's SIGKILL.
                preexec_fn=lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - one thread only
                user=self.uid if dropped else None,
                group=self.uid if dropped else None,
                extra_groups=() if dropped else None,
            )
        self.seen.add(self.main.pid)
        return self.main.pid

    def code(self) -> int | None:
        """Answer the exit code of the main process, negative for a signal; null while it lives or never did."""
        return self.main.poll() if self.main else None

    def running(self) -> bool:
        return self.main is not None and self.main.poll() is None

    def pids(self) -> list[int]:
        return descendants(os.getpid())

    def send(self, number: int) -> None:
        if self.main and self.running():
            self.main.send_signal(number)

    def stop(self, number: int, timeout: float) -> None:
        """Ask the main process to end by a signal; kill what is left after ``timeout`` seconds, or when it ended."""
        self.resume()
        self.send(number)
        if self.main:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.main.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """SIGKILL every descendant, reap them all, and remove the System V shared memory that they left."""
        while True:
            # Stopped first, so that none forks or restarts another meanwhile.
            self.seen.update(self._signal_all(signal.SIGSTOP))
            self._signal_all(signal.SIGKILL)
            if self.reap():
                break
            time.sleep(_POLL)
        self._remove_shared_memory()

    def _signal_all(self, number: int) -> list[int]:
        found = descendants(os.getpid())
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return found

    def reap(self) -> bool:
        """Collect what ended; return whether no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if self.main and pid == self.main.pid:
                self.main.returncode = os.waitstatus_to_exitcode(status)

    def pause(self) -> None:
        """SIGSTOP every descendant, until no new one appears."""
        stopped: set[int] = set()
        while not stopped.issuperset(found := self._signal_all(signal.SIGSTOP)):
            stopped.update(found)

    def resume(self) -> None:
        """SIGCONT every descendant, children first."""
        for pid in reversed(descendants(os.getpid())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _remove_shared_memory(self) -> None:
        with contextlib.suppress(OSError), Path("/proc/sysvipc/shm").open() as table:
            columns = next(table).split()
            for line in table:
                row = dict(zip(columns, line.split(), strict=False))
                if int(row["cpid"]) in self.seen and row["nattch"] == "0":
                    _LIBC.shmctl(int(row["shmid"]), _IPC_RMID, None)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def serve(watchdog: Watchdog, parent: int) -> None:
    """Answer commands until stdin ends or the parent is gone: a process forked from it may hold our stdin open."""
    os.write(1, json.dumps([0, watchdog.folder, None]).encode() + b"\n")
    pending = b""
    while os.getppid() == parent:
        watchdog.reap()
        if not select.select([0], [], [], 0.5)[0]:
            continue
        received = os.read(0, 65536)
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            number, command, arguments = json.loads(line)
            answer, problem = None, None
            try:
                answer = getattr(watchdog, command)(**arguments)
            except Exception as error:  # noqa: BLE001 - a process boundary: the test run is told and decides
                problem = f"{type(error).__name__}: {error}"
            os.write(1, json.dumps([number, answer, problem]).encode() + b"\n")


if __name__ == "__main__":
    _PARENT = os.getppid()
    os.chdir("/")
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _WATCHDOG = Watchdog(sys.argv[1], int(sys.argv[2]))
    try:
        serve(_WATCHDOG, _PARENT)
    except BrokenPipeError:
        pass  # the parent is gone
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _WATCHDOG.close()
