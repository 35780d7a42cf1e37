"""The data folder of a PostgreSQL server: made by initdb or copied, and its settings."""

import atexit
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from c2c_testing.servers._keeper import Keeper

# Speed before durability: the data live as long as the test run. A killed server still keeps what was committed,
# because the kernel has it; only a power cut would not.
FAST: Mapping[str, str | int] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": 200,
    "jit": "off",
    "io_method": "sync",
    "wal_level": "replica",
    "hot_standby": "on",
    "wal_keep_size": "256MB",  # a replica that was down for long finds all that it missed
    "wal_retrieve_retry_interval": "100ms",  # a replica is back at once when its primary is
    "dynamic_shared_memory_type": "mmap",  # in the data folder, not in /dev/shm, where a killed server leaves it
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "scram_iterations": 1,  # a log-in costs what it must, no more
    "log_destination": "stderr",
    "logging_collector": "off",
}


class Templates:
    """Copies of what initdb made, which takes long, one for each user and password; they vanish with this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._keeper: Keeper | None = None
        self._made: dict[tuple[str, str], Path] = {}

    @property
    def folder(self) -> Path | None:
        """Where they are; None as long as there is none."""
        return self._keeper.folder if self._keeper else None

    def find(self, user: str, password: str) -> Path | None:
        """Return the data folder to copy."""
        return self._made.get((user, password)) if self._owner == os.getpid() else None

    def keep(self, user: str, password: str, data: Path, uid: int) -> None:
        """Copy a data folder whose server was never started."""
        with self._lock:
            if self._keeper is None or self._owner != os.getpid():
                # The first one, or we were forked: what our parent has goes with it.
                self._keeper, self._owner, self._made = Keeper(uid), os.getpid(), {}
                atexit.register(self._keeper.close)
            if (user, password) not in self._made:
                copy = self._keeper.folder / str(len(self._made))
                self._keeper.run(["cp", "-a", data, copy], {})
                self._made[user, password] = copy


TEMPLATES = Templates()


def make_data(keeper: Keeper, programs: Path, data: Path, login: tuple[str, str]) -> None:
    """Make the data folder ``data`` of a superuser's name and password, in the keeper's folder."""
    if template := TEMPLATES.find(*login):
        keeper.run(["cp", "-a", template, data], {})
    else:
        _initdb(keeper, programs, data, login)
        TEMPLATES.keep(*login, data, keeper.uid)


def configure(data: Path, settings: Mapping[str, str | float]) -> None:
    """Append settings to postgresql.conf; they hold from the next start."""
    with (data / "postgresql.conf").open("a") as file:
        for name, value in settings.items():
            escaped = str(value).replace("\\", "\\\\").replace("'", "''")
            file.write(f"{name} = '{escaped}'\n")


def clean_environment() -> dict[str, str | None]:
    """Return what hides the caller's libpq and locale settings from PostgreSQL's programs."""
    hidden: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("PG", "LC_"))}
    return hidden | {"LC_ALL": "C", "TZ": "UTC"}


def _initdb(keeper: Keeper, programs: Path, data: Path, login: tuple[str, str]) -> None:
    user, password = login
    secret = keeper.folder / "password"
    secret.write_text(password + "\n")
    os.chown(secret, keeper.uid, -1)
    keeper.run(
        [
            programs / "initdb",
            *("-D", data, "-U", user, "--pwfile", secret, "-A", "scram-sha-256"),
            *("--no-sync", "--no-instructions", "--no-locale", "-E", "UTF8"),
            "--wal-segsize=1",  # MB; a small folder is fast to make and to copy
            *("--set", "scram_iterations=1"),
        ],
        clean_environment(),
    )
    secret.unlink()
