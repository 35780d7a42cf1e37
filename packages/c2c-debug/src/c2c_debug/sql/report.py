"""What is counted of statements while the SQL profiler is on."""

import sys
import sysconfig
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from types import FrameType
from typing import Any

from pyramid.threadlocal import manager

from c2c_broadcast.process import at_fork

MOST = 1_000
"""Statements that are kept; beyond, those that took the least time in all make room."""

N_PLUS_ONE = 10
"""A statement that runs so often in one request is suspicious."""

_ROOM = MOST // 10
_DIGITS = 6  # of seconds: microseconds
_LONGEST_TEXT = 4_000
_COUNTS = "c2c_debug.statements"
# Between the database and the application's own line: what only hands the statement on, wherever it is installed.
_NOT_THE_APPLICATION = (
    *("/sqlalchemy/", "/zope/", "/contextlib.py"),
    *(f"/c2c_{package}/" for package in ("broadcast", "db", "debug", "health", "meta", "rest", "stats")),
)
_LIBRARIES = ("/site-packages/", "/dist-packages/")
_PYTHON = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib"))


@dataclass(slots=True)
class Sums:
    """The sums of one statement, or of the waits for a connection; ``route`` and ``line`` are of the slowest run."""

    count: int = 0
    total: float = 0.0
    max: float = 0.0
    rows: int = 0
    wait: float = 0.0
    max_per_request: int = 0
    route: str | None = None
    line: str | None = None

    def include(self, other: "Sums") -> None:
        """Add what another process, or another wait, has."""
        if other.max >= self.max:
            self.max, self.route, self.line = other.max, other.route, other.line
        self.count += other.count
        self.total += other.total
        self.rows += other.rows
        self.wait += other.wait
        self.max_per_request = max(self.max_per_request, other.max_per_request)

    def shown(self) -> dict[str, Any]:
        """Return them as the report has them."""
        more = {"mean": self.total / max(self.count, 1), "n_plus_one": self.max_per_request >= N_PLUS_ONE}
        found = (asdict(self) | more).items()
        return {name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in found}


class Statements:
    """The statements of this process."""

    def __init__(self) -> None:
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin anew in a forked child: the parent's statements are not its own."""
        self.lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        with self.lock:
            self._found: dict[str, Sums] = {}
            self._dropped = 0
            self._waits = Sums()
            self._thread = threading.local()

    def waited(self, seconds: float) -> None:
        """Count the time for which this thread waited for a connection, for its next statement."""
        self._thread.wait = getattr(self._thread, "wait", 0.0) + seconds
        with self.lock:
            self._waits.include(Sums(count=1, total=seconds, max=seconds))

    def add(self, text: str, seconds: float, rows: int) -> None:
        """Count one run. This is on top of each statement: it takes 1 us."""
        stack = manager.stack
        request = stack[-1]["request"] if stack else None
        runs = 1
        if request is not None:
            counts = request.environ.setdefault(_COUNTS, {})
            runs += counts.get(text, 0)
            if runs > 1 or len(counts) < MOST:
                counts[text] = runs
        wait = vars(self._thread).pop("wait", 0.0)
        with self.lock:
            found = self._found.get(text)
            if found is None:
                found = self._new(text)
            found.count += 1
            found.total += seconds
            found.wait += wait
            if rows > 0:
                found.rows += rows
            if runs > found.max_per_request:  # noqa: PLR1730 # a call of max takes as long as all the rest
                found.max_per_request = runs
            if seconds < found.max:
                return
            found.max = seconds
        found.route = getattr(getattr(request, "matched_route", None), "name", None)
        found.line = application_line(sys._getframe(1))  # noqa: SLF001 # documented, in spite of its name

    def _new(self, text: str) -> Sums:
        if len(self._found) >= MOST:
            for least in sorted(self._found, key=lambda one: self._found[one].total)[:_ROOM]:
                del self._found[least]
            self._dropped += _ROOM
        found = self._found[text] = Sums()
        return found

    def answer(self) -> dict[str, Any]:
        """Return all that is counted, as JSON has it."""
        with self.lock:
            found = [{"statement": text[:_LONGEST_TEXT], **asdict(one)} for text, one in self._found.items()]
            return {"statements": found, "dropped": self._dropped, "connection_wait": asdict(self._waits)}


def application_line(frame: FrameType | None) -> str | None:
    """Return ``file:line function`` of the application's newest frame, else of a library that uses the database."""
    library: FrameType | None = None
    while frame is not None and (kind := _kind(frame.f_code.co_filename)) != "application":
        if kind == "library" and library is None:
            library = frame
        frame = frame.f_back
    found = frame or library
    return f"{found.f_code.co_filename}:{found.f_lineno} {found.f_code.co_name}" if found else None


@lru_cache(maxsize=4_096)
def _kind(file: str) -> str:
    # <string>, <sqlalchemy generated ...>: code without a file is made by a library.
    if file.startswith("<") or any(part in file for part in _NOT_THE_APPLICATION):
        return "between"
    if any(part in file for part in _LIBRARIES):
        return "library"
    # Python's own: what runs a thread or calls back knows nothing of the statement.
    return "between" if file.startswith(_PYTHON) else "application"


def merged(answers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return one report of several processes' answers: statements by total time, times in seconds."""
    found: dict[str, Sums] = {}
    waits, dropped = Sums(), 0
    for answer in answers:
        for one in answer["statements"]:
            found.setdefault(one.pop("statement"), Sums()).include(Sums(**one))
        waits.include(Sums(**answer["connection_wait"]))
        dropped += answer["dropped"]
    statements = [{"statement": text, **one.shown()} for text, one in found.items()]
    return {
        "statements": sorted(statements, key=lambda one: -one["total"])[:MOST],
        "dropped": dropped,
        "connection_wait": {name: waits.shown()[name] for name in ("count", "total", "max")},
    }
