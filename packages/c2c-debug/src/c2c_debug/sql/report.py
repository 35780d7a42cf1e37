"""What is counted of statements while the SQL profiler is on."""

import heapq
import sys
import sysconfig
import threading
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from types import FrameType
from typing import Any

from pyramid.threadlocal import manager

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


class Statement:
    """The sums of one statement; ``route`` and ``line`` are those of its slowest run."""

    __slots__ = ("count", "line", "max", "per_request", "route", "rows", "total", "wait")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.max = -1.0
        self.rows = 0
        self.wait = 0.0
        self.per_request = 0
        self.route: str | None = None
        self.line: str | None = None


class Statements:
    """The statements of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Statement] = {}
        self._dropped = 0
        self._waits: dict[int, float] = {}
        self._wait = [0, 0.0, 0.0]

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self._found = {}
            self._waits = {}
            self._dropped = 0
            self._wait = [0, 0.0, 0.0]

    def after_fork(self) -> None:
        """Begin anew in a forked child: the parent's statements are not its own."""
        self._lock = threading.Lock()
        self.clear()

    def waited(self, seconds: float) -> None:
        """Count the time for which this thread waited for a connection, for its next statement."""
        thread = threading.get_ident()
        with self._lock:
            if len(self._waits) < MOST:
                self._waits[thread] = self._waits.get(thread, 0.0) + seconds
            wait = self._wait
            wait[0] += 1
            wait[1] += seconds
            wait[2] = max(wait[2], seconds)

    def add(self, text: str, seconds: float, rows: int) -> None:
        """Count one run. This is on top of each statement: it takes 1 us."""
        stack = manager.stack
        request = stack[-1]["request"] if stack else None
        runs = 1 if request is None else _runs_in(request, text)
        with self._lock:
            found = self._found.get(text)
            if found is None:
                found = self._new(text)
            found.count += 1
            found.total += seconds
            if rows > 0:
                found.rows += rows
            if runs > found.per_request:  # noqa: PLR1730 # a call of max takes as long as all the rest
                found.per_request = runs
            if self._waits:
                found.wait += self._waits.pop(threading.get_ident(), 0.0)
            if seconds <= found.max:
                return
            found.max = seconds
        found.route = getattr(getattr(request, "matched_route", None), "name", None)
        found.line = application_line(sys._getframe(1))  # noqa: SLF001 # documented, in spite of its name

    def _new(self, text: str) -> Statement:
        if len(self._found) >= MOST:
            for least in heapq.nsmallest(_ROOM, self._found, key=lambda one: self._found[one].total):
                del self._found[least]
            self._dropped += _ROOM
        found = self._found[text] = Statement()
        return found

    def answer(self) -> dict[str, Any]:
        """Return all that is counted, as JSON has it."""
        with self._lock:
            found = [
                {
                    "statement": text[:_LONGEST_TEXT],
                    "count": one.count,
                    "total": one.total,
                    "max": one.max,
                    "rows": one.rows,
                    "wait": one.wait,
                    "max_per_request": one.per_request,
                    "route": one.route,
                    "line": one.line,
                }
                for text, one in self._found.items()
            ]
            count, total, longest = self._wait
            wait = {"count": count, "total": total, "max": longest}
            return {"statements": found, "dropped": self._dropped, "connection_wait": wait}


def _runs_in(request: Any, text: str) -> int:
    """Return how often a statement was run in a request, this time included."""
    environ = request.environ
    counts: dict[str, int] | None = environ.get(_COUNTS)
    if counts is None:
        counts = environ[_COUNTS] = {}
    runs = counts.get(text, 0) + 1
    if runs > 1 or len(counts) < MOST:
        counts[text] = runs
    return runs


def application_line(frame: FrameType | None) -> str | None:
    """Return ``file:line function`` of the application's newest frame, else of a library that uses the database."""
    library: FrameType | None = None
    while frame is not None:
        kind = _kind(frame.f_code.co_filename)
        if kind == "application":
            break
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
    answers = list(answers)
    found: dict[str, dict[str, Any]] = {}
    for one in chain.from_iterable(answer["statements"] for answer in answers):
        other = found.setdefault(one["statement"], one)
        if other is not one:
            slower = max(one, other, key=lambda each: float(each["max"]))
            sums = {name: one[name] + other[name] for name in ("count", "total", "rows", "wait")}
            most = {"max_per_request": max(one["max_per_request"], other["max_per_request"])}
            found[one["statement"]] = {**slower, **sums, **most}
    for one in found.values():
        one["mean"] = one["total"] / one["count"]
        one["n_plus_one"] = one["max_per_request"] >= N_PLUS_ONE
        one.update({name: round(one[name], _DIGITS) for name in ("total", "mean", "max", "wait")})
    waits = [answer["connection_wait"] for answer in answers]
    return {
        "statements": sorted(found.values(), key=lambda one: -one["total"])[:MOST],
        "dropped": sum(answer["dropped"] for answer in answers),
        "connection_wait": {
            "count": sum(wait["count"] for wait in waits),
            "total": round(sum(wait["total"] for wait in waits), _DIGITS),
            "max": round(max((wait["max"] for wait in waits), default=0.0), _DIGITS),
        },
    }
