"""A folder that is this user's alone, in a place where everybody may make folders."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 # looked into with care, below
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_private_folder() -> int:
    """Return a descriptor of ``c2c-stats-<uid>`` in shared memory, else in the folder for temporary files.

    Raises:
        OSError: Neither can be had, or what has this name is another's, a link, or open to others.
    """
    error: OSError | None = None
    for parent in (_SHARED_MEMORY, Path(tempfile.gettempdir())):
        try:
            return open_folder(parent / f"c2c-stats-{os.geteuid()}")
        except OSError as failure:
            error = error or failure
    assert error is not None
    raise error


def open_folder(path: Path | str, parent: int | None = None) -> int:
    """Make a folder if need be, and return its descriptor; ``parent`` is the descriptor of where it is.

    Raises:
        OSError: It can't be made, or is not ours alone.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700, dir_fd=parent)
    folder = os.open(path, _FLAGS, dir_fd=parent)
    status = os.fstat(folder)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        os.close(folder)
        raise PermissionError(f"{path} is not a folder of this user alone: remove it")
    return folder


def names_in(folder: int) -> list[str]:
    """Return the names in a folder."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)
