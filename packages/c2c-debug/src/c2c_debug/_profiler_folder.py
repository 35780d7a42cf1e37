"""The folder of a service's Python profiler: this user's alone, and the same for all processes of the service."""

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

_PREFIX = "c2c-profiler"
_START_TIME = 19  # of the fields after the name in /proc/<pid>/stat (proc_pid_stat(5))
_PARENT = 1


def service(pid: int, proc: Path = Path("/proc")) -> str:
    """Return what names a service: its first process and when that was started.

    A server's workers run the same command as the process that forked them (gunicorn may name them "gunicorn: ...").
    """
    found = _described(pid, proc)
    if found is None:
        return str(pid)
    parent, started, command = found
    above = _described(parent, proc)
    while above is not None and _same(command, above[2]):
        pid, (parent, started, command) = parent, above
        above = _described(parent, proc)
    return f"{pid}-{started}"


def _same(command: bytes, other: bytes) -> bool:
    return command == other or (command.startswith(b"gunicorn: ") and other.startswith(b"gunicorn: "))


def _described(pid: int, proc: Path) -> tuple[int, int, bytes] | None:
    try:
        # The name, in parentheses, may hold anything.
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        command = (proc / str(pid) / "cmdline").read_bytes()
        return int(fields[_PARENT]), int(fields[_START_TIME]), command
    except (OSError, ValueError, IndexError):
        return None


class Folder:
    """A service's folder: the flag that profiling is enabled, and the files of the engine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.flag = str(path / "enabled")

    @classmethod
    def of_service(cls, parent: Path | None = None, proc: Path = Path("/proc")) -> "Folder":
        """Make the folder, if need be; remove those of services that are no more.

        Raises:
            OSError: It can't be made, or is not ours alone.
        """
        base = (parent or Path(tempfile.gettempdir())) / f"{_PREFIX}-{os.geteuid()}"
        _private(base)
        name = service(os.getpid(), proc)
        for other in base.iterdir():
            pid = other.name.partition("-")[0]
            if other.name != name and pid.isdigit() and service(int(pid), proc) != other.name:
                shutil.rmtree(other, ignore_errors=True)
        path = base / name
        _private(path)
        return cls(path)

    def enabled(self) -> bool:
        """Tell whether requests are to be profiled."""
        return os.path.exists(self.flag)  # noqa: PTH110 # at each request: half the time of Path's

    def enable(self, *, on: bool) -> None:
        """Have all processes of the service profile requests from now on, or not."""
        flag = Path(self.flag)
        if on:
            flag.touch(0o600)
        else:
            flag.unlink(missing_ok=True)


def _private(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise PermissionError(f"{path} is not a folder of this user alone: remove it")
