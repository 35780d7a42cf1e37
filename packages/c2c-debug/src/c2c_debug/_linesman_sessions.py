"""linesman's sessions in a bounded SQLite file, as JSON: its own backends read pickles."""

import json
import zlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from c2c_debug._profiler_sessions import MOST, MOST_BYTES
from c2c_debug._session_file import connected

# Of a function that cProfile saw being called and never itself, as may be from Python 3.12 on.
_NOTHING = {"callcount": 0, "reccallcount": 0, "inlinetime": 0.0, "totaltime": 0.0}
_TABLE = """
CREATE TABLE IF NOT EXISTS linesman (
    number INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT UNIQUE, path TEXT, duration REAL, timestamp REAL, graph BLOB)
"""
_NEWEST = f"""
DELETE FROM linesman WHERE number NOT IN (SELECT number FROM
    (SELECT number, row_number() OVER (ORDER BY number DESC) n, sum(length(graph)) OVER (ORDER BY number DESC) size
     FROM linesman) WHERE n <= {MOST} AND size <= {MOST_BYTES})
"""  # noqa: S608 # our own numbers


class LinesmanSessions:
    """What linesman calls a backend (linesman.backends.base)."""

    def __init__(self, path: Path, graph: type[Any]) -> None:
        self._path = path
        self._graph = graph

    def setup(self) -> None:
        """Do nothing: each connection sees to the table."""

    def add(self, session: Any) -> None:
        """Keep a session; the oldest ones make room."""
        graph = session._graph  # noqa: SLF001 # linesman has no other name for it
        data = {"nodes": list(graph.nodes(data=True)), "edges": list(graph.edges(data=True))}
        blob = zlib.compress(json.dumps(data).encode(), 3)
        row = (session.uuid, session.path, session.duration, session.timestamp.timestamp(), blob)
        with connected(self._path, _TABLE) as connection:
            connection.execute(
                "INSERT INTO linesman (uuid, path, duration, timestamp, graph) VALUES (?, ?, ?, ?, ?)", row
            )
            connection.execute(_NEWEST)

    def delete(self, session_uuid: str) -> int:
        """Delete one; return how many there were."""
        return self.delete_many([session_uuid])

    def delete_many(self, session_uuids: Sequence[str]) -> int:
        """Delete these; return how many there were."""
        with connected(self._path, _TABLE) as connection:
            return sum(
                connection.execute("DELETE FROM linesman WHERE uuid = ?", (one,)).rowcount for one in session_uuids
            )

    def delete_all(self) -> int:
        """Delete all; return how many there were."""
        with connected(self._path, _TABLE) as connection:
            return connection.execute("DELETE FROM linesman").rowcount

    def get(self, session_uuid: str) -> Any:
        """Return one with its graph, None if there is none."""
        query = "SELECT uuid, path, duration, timestamp, graph FROM linesman WHERE uuid = ?"
        with connected(self._path, _TABLE) as connection:
            row = connection.execute(query, (session_uuid,)).fetchone()
        if row is None:
            return None
        found, data = _session(row), json.loads(zlib.decompress(row[4]))
        found._graph = self._graph(name="G")  # noqa: SLF001 # as above
        for node, attributes in data["nodes"]:
            found._graph.add_node(node, **{**_NOTHING, **attributes})  # noqa: SLF001 # as above
        for start, end, attributes in data["edges"]:
            found._graph.add_edge(start, end, **attributes)  # noqa: SLF001 # as above
        return found

    def get_all(self) -> dict[str, Any]:
        """Return all by their identifiers, without graphs, the oldest first."""
        with connected(self._path, _TABLE) as connection:
            rows = connection.execute("SELECT uuid, path, duration, timestamp FROM linesman ORDER BY number").fetchall()
        return {row[0]: _session(row) for row in rows}


def _session(row: tuple[Any, ...]) -> SimpleNamespace:
    uuid, path, duration, timestamp = row[:4]
    when = datetime.fromtimestamp(timestamp)  # noqa: DTZ006 # linesman's pages show local time
    return SimpleNamespace(uuid=uuid, path=path, duration=duration, timestamp=when)
