"""Profiled requests, kept in a SQLite file of bounded size which all processes of the service share."""

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

MOST = 200
"""Requests that are kept, the newest ones."""

_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_PATH = 500
_PATIENCE = 5.0

_TABLE = """
CREATE TABLE IF NOT EXISTS sessions (id INTEGER PRIMARY KEY AUTOINCREMENT,
    begun REAL, duration REAL, method TEXT, path TEXT, status TEXT, data BLOB)
"""
_COLUMNS = "begun, duration, method, path, status, id"
_KEEP = """
DELETE FROM sessions WHERE id NOT IN (SELECT id FROM
    (SELECT id, row_number() OVER (ORDER BY id DESC) n, sum(length(data)) OVER (ORDER BY id DESC) size FROM sessions)
    WHERE n <= ? AND size <= ?)
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A profiled request. ``begun`` is in seconds since the epoch, ``duration`` in seconds."""

    begun: float
    duration: float
    method: str
    path: str
    status: str
    id: int = 0

    @property
    def when(self) -> datetime:
        """When it began, in local time."""
        return datetime.fromtimestamp(int(self.begun))  # noqa: DTZ006 # for people, who know where they are


class Sessions:
    """The file. A request is named by its number, or that number's text."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, one: Session, data: Any) -> None:
        """Keep a request and its data, as JSON has it; the oldest ones make room."""
        blob = zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 3)
        row = (one.begun, one.duration, one.method[:20], one.path[:_LONGEST_PATH], one.status, blob)
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO sessions (begun, duration, method, path, status, data) VALUES (?, ?, ?, ?, ?, ?)", row
            )
            connection.execute(_KEEP, (MOST, _MOST_BYTES))

    def all(self) -> list[Session]:
        """Return the requests, the newest first."""
        with self._connected() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM sessions ORDER BY id DESC").fetchall()  # noqa: S608
        return [Session(*row) for row in rows]

    def get(self, name: int | str) -> tuple[Session, Any] | None:
        """Return a request and its data, None if there is none of this name."""
        with self._connected() as connection:
            row = connection.execute(f"SELECT data, {_COLUMNS} FROM sessions WHERE id = ?", (name,)).fetchone()  # noqa: S608
        return None if row is None else (Session(*row[1:]), json.loads(zlib.decompress(row[0])))

    def delete(self, names: Iterable[int | str] | None = None) -> int:
        """Delete these requests, all of them without names; return how many there were."""
        with self._connected() as connection:
            if names is None:
                return connection.execute("DELETE FROM sessions").rowcount
            return sum(connection.execute("DELETE FROM sessions WHERE id = ?", (one,)).rowcount for one in names)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Give a connection, in a transaction; one each time: none that a fork could share."""
        connection = sqlite3.connect(self._path, timeout=_PATIENCE)
        try:
            # Not made to outlive the machine: a request does not wait for the disk.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(_TABLE)
            with connection:
                yield connection
        finally:
            connection.close()
