"""New data folders of PostgreSQL, kept to be copied: initdb takes long, and every further server can do without it."""

import atexit
import os
import threading
from pathlib import Path

from c2c_testing.servers._keeper import Keeper


class Templates:
    """Copies of what initdb made, one for each user and password; they vanish with this process."""

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
