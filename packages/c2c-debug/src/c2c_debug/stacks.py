"""``stacks``: what every thread of every process is at, taken with as little work as can be."""

import re
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from pyramid.response import Response

from c2c_broadcast import Answers, masker_of
from c2c_broadcast.broadcast import ask, health, unsubscribe
from c2c_broadcast.broadcast import subscribe as _subscribe

MOST = 20_000
"""Different stacks that are kept of one process; samples of others are only counted."""

# More frames than this are a recursion: its two ends say enough.
_LONGEST = 200
_END = _LONGEST // 2

# The ids of the frames' codes, and the instruction that each is at; the newest frame first.
_Stack = tuple[tuple[int, ...], tuple[int, ...]]
Place = tuple[str, str, int]
"""Function, file and line (0: none) of a frame."""


class Samples:
    """How often each thread of this process was seen at each stack.

    A sample looks at frames and keeps numbers; names and lines are found once, in the end.
    """

    def __init__(self) -> None:
        self.count = self.dropped = 0
        self.seconds = 0.0
        self._codes: dict[int, CodeType] = {}
        self._stacks: dict[_Stack, dict[int, int]] = {}
        # Where each thread was: most are there still, which is told without a tuple and its hash.
        self._last: dict[int, tuple[list[CodeType], list[int], dict[int, int] | None]] = {}

    def take(self, leave_out: int = 0) -> None:
        """Look at all threads once, but for the one to leave out."""
        self.count += 1
        for thread, frame in sys._current_frames().items():  # noqa: SLF001 # documented, in spite of its name
            if thread != leave_out:
                self._look(thread, frame)

    def _look(self, thread: int, frame: FrameType | None) -> None:
        codes: list[CodeType] = []
        instructions: list[int] = []
        add_code, add_instruction = codes.append, instructions.append
        while frame is not None:
            add_code(frame.f_code)
            add_instruction(frame.f_lasti)
            frame = frame.f_back
        if len(codes) > _LONGEST:
            instructions[_END:-_END] = [~(len(codes) - _LONGEST)]
            codes[_END:-_END] = [Samples._look.__code__]
        last = self._last.get(thread)
        if last is None or last[0] != codes or last[1] != instructions:
            last = self._last[thread] = codes, instructions, self._threads_at(codes, instructions)
        if last[2] is None:
            self.dropped += 1
        else:
            last[2][thread] = last[2].get(thread, 0) + 1

    def _threads_at(self, codes: list[CodeType], instructions: list[int]) -> dict[int, int] | None:
        stack = (tuple(map(id, codes)), tuple(instructions))
        if stack not in self._stacks:
            if len(self._stacks) >= MOST:
                return None
            self._stacks[stack] = {}
            # Kept, so that no other code has its id.
            self._codes.update(zip(stack[0], codes, strict=True))
        return self._stacks[stack]

    def answer(self) -> dict[str, Any]:
        """Return what was seen, as JSON has it.

        ``{"seconds", "samples", "dropped", "frames": [[function, file, line]...], "stacks": [{"frames": [index...],
        "waiting": what for, "threads": [[id, name, count]...]}...]}``, where the oldest frame is first.
        """
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        indexes: dict[Place, int] = {}
        known: dict[tuple[int, int], Place] = {}
        stacks = []
        for stack, threads in self._stacks.items():
            places = []
            for code, instruction in zip(*stack, strict=True):
                place = known.get((code, instruction))
                if place is None:
                    place = known[code, instruction] = _place(self._codes[code], instruction)
                places.append(place)
            places.reverse()
            entry = {
                "frames": [indexes.setdefault(place, len(indexes)) for place in places],
                "waiting": waiting(places, line_of(*places[-1][1:])),
                "threads": [(thread, names.get(thread, ""), count) for thread, count in threads.items()],
            }
            stacks.append(entry)
        about = {"seconds": self.seconds, "samples": self.count, "dropped": self.dropped}
        return {**about, "frames": list(indexes), "stacks": stacks}


def _place(code: CodeType, instruction: int) -> Place:
    if instruction < -1:
        return f"... {~instruction} frames are left out ...", "", 0
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    return code.co_qualname, code.co_filename, next(lines, None) or code.co_firstlineno


_CHANNEL = "c2c_debug_stacks"
_TIMEOUT = 10.0
_FORMS = ("application/json", "text/plain")


def subscribe(answer: Callable[[], dict[str, Any]] | None = None) -> None:
    """Answer what other processes ask; ``answer`` is what calls ``take``, where something has to be in between."""
    if answer is not None:
        unsubscribe(_CHANNEL)  # what is replaced knowingly is no warning
    _subscribe(_CHANNEL, answer or take)


def take() -> dict[str, Any]:
    """Return one sample of all threads of this process, the caller's too; its frames have their source as well."""
    samples = Samples()
    samples.take()
    found = samples.answer()
    return {**found, "frames": [(*place, line_of(*place[1:])) for place in found["frames"]]}


def together(answers: Answers) -> list[dict[str, Any]]:
    """Return the stacks of all processes, identical ones as one; those at work first, then the most frequent.

    ``[{"frames": [{"file", "line", "function", "code"}...], "threads": ["host/pid/name(id)"...], "waiting": ...}]``. A
    process that is missing has an entry of its own, without frames: ``threads`` names it.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for answer in answers.answers:
        for stack in answer["stacks"]:
            places = tuple(tuple(answer["frames"][index]) for index in stack["frames"])
            frames = [dict(zip(("function", "file", "line", "code"), place, strict=True)) for place in places]
            entry = groups.setdefault(places, {"frames": frames, "threads": []})
            entry["threads"] += [f"{process_name(answer)}/{name}({thread})" for thread, name, _ in stack["threads"]]
            entry["threads"].sort()
            if stack["waiting"]:
                entry["waiting"] = stack["waiting"]
    found = sorted(groups.values(), key=lambda entry: ("waiting" in entry, -len(entry["threads"]), entry["threads"]))
    return found + [{"frames": [], "threads": [process_name(entry)], **entry} for entry in silent(answers)]


def process_name(entry: dict[str, Any]) -> str:
    """Return how a process is called: host/pid."""
    return f"{entry['hostname']}/{entry['pid']}" if "pid" in entry else "all other processes"


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
    kind = _kind(places[-1], code)
    return "pool" if kind == "lock" and _in_pool(places) else kind


def _kind(newest: Place, code: str) -> str | None:
    function, file = newest[0].rpartition(".")[2], newest[1]
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
    for _, file, _ in reversed(places):
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
    is still at work. Where others can't be asked, ``{"missing": true, "error": ...}`` stands for all of them.
    """
    found: list[dict[str, Any]] = [
        {"hostname": one.hostname, "pid": one.pid, "error": f"{one.type}: {one.message}"} for one in answers.failed
    ]
    for late, members in ((False, answers.missing), (True, answers.late)):
        for one in members:
            entry = {"hostname": one.hostname, "pid": one.pid, "missing": True, "last_seen": one.last_seen}
            found.append({**entry, "late": True} if late else entry)
    if not answers.complete and not answers.missing and not answers.late:
        why = "Redis is away" if health().error else "the log says why"
        found.append({"missing": True, "error": f"the other processes are not known: {why}"})
    return found
