"""Profiled requests, kept in a SQLite file of bounded size which all processes of the service share."""

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2c_debug._session_file import connected

MOST = 200
"""Requests that are kept, the newest ones."""

MOST_BYTES = 64 * 1024 * 1024
_LONGEST_PATH = 500

_TABLE = """
CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, begun REAL, duration REAL, method TEXT, path TEXT, status TEXT, tree BLOB)
"""
_NEWEST = f"""
DELETE FROM sessions WHERE id NOT IN (SELECT id FROM
    (SELECT id, row_number() OVER (ORDER BY id DESC) n, sum(length(tree)) OVER (ORDER BY id DESC) size FROM sessions)
    WHERE n <= {MOST} AND size <= {MOST_BYTES})
"""  # noqa: S608 # our own numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A profiled request. ``begun`` is in seconds since the epoch, ``duration`` in seconds."""

    begun: float
    duration: float
    method: str
    path: str
    status: str
    id: int = 0


class Sessions:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, session: Session, tree: list[Any]) -> None:
        """Keep a request and its tree ``[text, seconds, [children]]``; the oldest ones make room."""
        blob = zlib.compress(json.dumps(tree, separators=(",", ":")).encode(), 3)
        row = (session.begun, session.duration, session.method[:20], session.path[:_LONGEST_PATH], session.status, blob)
        with connected(self._path, _TABLE) as connection:
            connection.execute(
                "INSERT INTO sessions (begun, duration, method, path, status, tree) VALUES (?, ?, ?, ?, ?, ?)", row
            )
            connection.execute(_NEWEST)

    def all(self) -> list[Session]:
        """Return the requests, the newest first."""
        with connected(self._path, _TABLE) as connection:
            rows = connection.execute(
                "SELECT begun, duration, method, path, status, id FROM sessions ORDER BY id DESC"
            ).fetchall()
        return [_session(row) for row in rows]

    def get(self, number: int) -> tuple[Session, list[Any]] | None:
        """Return a request and its tree, None if there is none of this number."""
        with connected(self._path, _TABLE) as connection:
            row = connection.execute(
                "SELECT begun, duration, method, path, status, id, tree FROM sessions WHERE id = ?", (number,)
            ).fetchone()
        return None if row is None else (_session(row), json.loads(zlib.decompress(row[6])))

    def delete(self, numbers: Iterable[int] | None = None) -> int:
        """Delete these requests, all of them without numbers; return how many there were."""
        with connected(self._path, _TABLE) as connection:
            if numbers is None:
                return connection.execute("DELETE FROM sessions").rowcount
            return sum(connection.execute("DELETE FROM sessions WHERE id = ?", (one,)).rowcount for one in numbers)


def _session(row: tuple[Any, ...]) -> Session:
    begun, duration, method, path, status, number = row[:6]
    return Session(begun=begun, duration=duration, method=method, path=path, status=status, id=number)
