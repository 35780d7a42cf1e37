"""A SQLite file that all processes of a service share."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

_PATIENCE = 5.0


@contextlib.contextmanager
def connected(path: Path, table: str) -> Iterator[sqlite3.Connection]:
    """Give a connection, in a transaction, to a file that has the ``table`` (the statement that creates it).

    A connection each time: none that a fork could share.
    """
    connection = sqlite3.connect(path, timeout=_PATIENCE)
    try:
        # Not made to outlive the machine: a request does not wait for the disk.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(table)
        with connection:
            yield connection
    finally:
        connection.close()
