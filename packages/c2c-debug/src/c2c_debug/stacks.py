"""``stacks``: what every thread of every process is at, taken with as little work as can be."""

import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from pyramid.response import Response

from c2c_broadcast import masker_of
from c2c_broadcast.broadcast import Answers, ask, unsubscribe
from c2c_broadcast.broadcast import subscribe as _subscribe
from c2c_broadcast.process import host_name

Stack = tuple[tuple[CodeType, int], ...]
"""What each frame runs and the line it is at (0: none), oldest first."""

_CHANNEL = "c2c_debug_stacks"
_TIMEOUT = 10.0
_FORMS = ("application/json", "text/plain")


def subscribe(answer: Callable[[], dict[str, Any]] | None = None) -> None:
    """Answer what other processes ask; ``answer`` is what calls ``take``, where something has to be in between."""
    if answer is not None:
        unsubscribe(_CHANNEL)  # what is replaced knowingly is no warning
    _subscribe(_CHANNEL, answer or take)


def take() -> dict[str, Any]:
    """Return the stacks of this process: ``{"stacks": [...]}``, as ``rendered`` says them."""
    found, named = stacks(), names()
    return {"stacks": rendered(found, named, f"{host_name()}/{os.getpid()}")}


def rendered(found: dict[Stack, list[int]], named: dict[int, str], process: str) -> list[dict[str, Any]]:
    """Return stacks as JSON has them: ``[{"frames": [...], "threads": [...], "waiting": ...}]``."""
    result = []
    for stack, threads in found.items():
        frames = [_frame(code.co_filename, getattr(code, "co_qualname", code.co_name), line) for code, line in stack]
        labels = [f"{process}/{named.get(thread, '')}({thread})" for thread in threads]
        entry: dict[str, Any] = {"frames": frames, "threads": sorted(labels)}
        places = [(code.co_filename, code.co_name) for code, _ in stack]
        reason = waiting(places, frames[-1]["code"] if frames else "")
        if reason is not None:
            entry["waiting"] = reason
        result.append(entry)
    return result


def _frame(file: str, function: str, line: int) -> dict[str, Any]:
    if line < 0:
        return {"file": "", "line": 0, "function": f"... {-line} frames are left out ...", "code": ""}
    return {"file": file, "line": line, "function": function, "code": line_of(file, line)}


def together(answers: Answers) -> list[dict[str, Any]]:
    """Return the stacks of all processes, identical ones as one; those at work first, then the most frequent.

    A process that is missing has an entry of its own, without frames: ``threads`` names it.
    """
    groups: dict[tuple[tuple[str, int, str], ...], dict[str, Any]] = {}
    for answer in answers.answers:
        for entry in answer["stacks"]:
            key = tuple((frame["file"], frame["line"], frame["function"]) for frame in entry["frames"])
            if key in groups:
                groups[key]["threads"] = sorted(groups[key]["threads"] + entry["threads"])
            else:
                groups[key] = entry
    found = sorted(groups.values(), key=lambda entry: ("waiting" in entry, -len(entry["threads"]), entry["threads"]))
    for entry in silent(answers):
        who = f"{entry['hostname']}/{entry['pid']}" if "pid" in entry else "all other processes"
        found.append({"frames": [], "threads": [who], **entry})
    return found


def view(request: Any) -> Any:
    """Give the stacks of every thread of every process, as JSON or ``text/plain``."""
    masked = masker_of(request.registry).data
    found = masked(together(ask(_CHANNEL, timeout=_TIMEOUT)))
    offers = request.accept.acceptable_offers(_FORMS)
    request.response.vary = ("Accept",)
    if offers and offers[0][0] == "text/plain":
        return Response(text(found), content_type="text/plain", charset="UTF-8", vary=("Accept",))
    return found


def text(entries: Iterable[dict[str, Any]]) -> str:
    """Return stacks for people, newest frame last, as Python's tracebacks."""
    return "\n".join("\n".join(_paragraph(entry)) + "\n" for entry in entries)


def _paragraph(entry: dict[str, Any]) -> Iterable[str]:
    yield from entry["threads"]
    if "error" in entry:
        yield f"  failed: {entry['error']}"
    elif "missing" in entry:
        yield "  missing: did not answer" + (" yet" if "late" in entry else "")
    elif "waiting" in entry:
        yield f"  waiting: {entry['waiting']}"
    for frame in entry["frames"]:
        where = f'  File "{frame["file"]}", line {frame["line"]}, in ' if frame["file"] else "  "
        yield f"{where}{frame['function']}"
        if frame["code"]:
            yield f"    {frame['code']}"


# More frames than this are a recursion: its two ends say enough.
_LONGEST = 400
_END = _LONGEST // 2


def stacks() -> dict[Stack, list[int]]:
    """Return the stacks of all threads, the caller's too, each with the identifiers of the threads that have it."""
    found: dict[Stack, list[int]] = {}
    for thread, frame in sys._current_frames().items():  # noqa: SLF001 # documented, in spite of its name
        found.setdefault(_stack(frame), []).append(thread)
    return found


def names() -> dict[int, str]:
    """Return the name of each thread that Python started or met."""
    return {thread.ident: thread.name for thread in threading.enumerate() if thread.ident is not None}


def _stack(frame: FrameType | None) -> Stack:
    frames = []
    while frame is not None:
        frames.append((frame.f_code, frame.f_lineno or 0))
        frame = frame.f_back
    frames.reverse()
    if len(frames) > _LONGEST:
        left_out = (_stack.__code__, -(len(frames) - _LONGEST))
        frames[_END:-_END] = [left_out]
    return tuple(frames)


Place = tuple[str, str]
"""File and function of a frame."""

_POOLS = (
    "/sqlalchemy/pool/",
    "/psycopg_pool/",
    "/psycopg2/pool.py",
    "/urllib3/connectionpool.py",
    "/redis/connection.py",
    "/concurrent/futures/thread.py",
    "/waitress/task.py",
)
_LOCKS = {
    ("/threading.py", "wait"),
    ("/threading.py", "acquire"),
    ("/threading.py", "_wait_for_tstate_lock"),
    ("/threading.py", "join"),
    ("/queue.py", "get"),
    ("/queue.py", "put"),
}
_SELECTS = ("/selectors.py", "/asyncore.py", "/wasyncore.py")
_SOCKETS = ("/socket.py", "/ssl.py", "/http/client.py", "/urllib3/util/connection.py")
# A call of C is no frame: the line that it stands in tells. A dict's get has a key, a SimpleQueue's may have nothing.
_LINES = (
    ("sleep", re.compile(r"\bsleep\(")),
    ("socket", re.compile(r"\bwaiting\.wait\(")),  # psycopg 3
    ("select", re.compile(r"\b(?:select|poll|epoll_wait|wait_selector|wait_c)\(")),
    ("socket", re.compile(r"\.(?:recv|recv_into|recvfrom|recvmsg|accept|sendall|connect|getaddrinfo)\(")),
    (
        "lock",
        re.compile(r"\.acquire\(|\.join\(|\bwith [\w.]{0,80}lock\w*:|\.get\((?:\)|block|timeout)|\bflock\("),
    ),
)


def waiting(places: Sequence[Place], code: str) -> str | None:
    """Return ``lock``, ``socket``, ``select``, ``sleep`` or ``pool``, None where the thread seems to work.

    ``pool`` is a wait for a pool's connection, or for work in a pool of threads. ``places`` are the frames, oldest
    first; ``code`` is the newest one's line of source.
    """
    if not places:
        return None
    kind = _kind(places[-1], code)
    return "pool" if kind == "lock" and _in_pool(places) else kind


def _kind(newest: Place, code: str) -> str | None:
    file, function = newest
    if any(file.endswith(end) and function == name for end, name in _LOCKS):
        return "lock"
    if file.endswith(_SELECTS) and function in {"select", "poll"}:
        return "select"
    if file.endswith(_SOCKETS) and function in {"readinto", "accept", "read", "recv", "recv_into", "connect", "send"}:
        return "socket"
    if file.endswith("/concurrent/futures/thread.py") and function == "_worker":
        return "lock"
    if file.endswith("/sqlalchemy/engine/default.py") and function.startswith("do_execute"):
        return "socket"  # the driver, in C, waits for the database
    return next((kind for kind, pattern in _LINES if pattern.search(code)), None)


def _in_pool(places: Sequence[Place]) -> bool:
    """Tell whether the wait is a pool's own, not that of something which runs in a pool's thread."""
    for file, _ in reversed(places):
        if any(part in file for part in _POOLS):
            return True
        if not file.endswith(
            ("/threading.py", "/queue.py", "/sqlalchemy/util/queue.py", "/sqlalchemy/util/langhelpers.py")
        ):
            return False
    return False


_MANY = 4096
_LARGEST_FILE = 4 * 1024 * 1024
_LONGEST_LINE = 200


@lru_cache(_MANY)
def line_of(file: str, line: int) -> str:
    """Return a line of a source file, stripped; "" where there is none."""
    path = Path(file)
    try:
        if line < 1 or path.stat().st_size > _LARGEST_FILE:
            return ""
        lines = path.read_bytes().split(b"\n", line)
    except (OSError, ValueError):  # no such file; <frozen importlib> and the like; a null byte
        return ""
    text = lines[line - 1] if len(lines) >= line else b""
    return text.decode("utf-8", "replace").strip()[:_LONGEST_LINE]


def silent(answers: Answers) -> list[dict[str, Any]]:
    """Return an entry for each process that failed or did not answer.

    ``{"hostname", "pid", "error"}`` or ``{"hostname", "pid", "missing": true, "last_seen"}``; with ``"late": true`` it
    is still at work. Where Redis could not be asked, ``{"missing": true, "error": ...}`` stands for all other
    processes.
    """
    found: list[dict[str, Any]] = [
        {"hostname": one.hostname, "pid": one.pid, "error": f"{one.type}: {one.message}"} for one in answers.failed
    ]
    for late, members in ((False, answers.missing), (True, answers.late)):
        for one in members:
            entry = {"hostname": one.hostname, "pid": one.pid, "missing": True, "last_seen": one.last_seen}
            found.append({**entry, "late": True} if late else entry)
    if not answers.complete and not answers.missing and not answers.late:
        found.append({"missing": True, "error": "Redis is away: the other processes are not known"})
    return found
