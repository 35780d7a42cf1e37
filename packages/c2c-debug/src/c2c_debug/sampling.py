"""``profile``: what all threads do, sampled for some seconds.

A sample holds the interpreter for some microseconds a thread that did something since the one before, and for one a
thread that did not. It looks at frames and keeps numbers; names and lines are found once, in the end.
"""

import base64
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from itertools import accumulate
from time import clock_gettime_ns
from types import CodeType, FrameType
from typing import Any

from pyramid.httpexceptions import HTTPNotAcceptable
from pyramid.response import Response

from c2c_broadcast import broadcast, json_error
from c2c_broadcast.broadcast import Answers
from c2c_broadcast.process import host_name
from c2c_debug._parameters import choice, number
from c2c_debug.heavy import Tools, tools_of
from c2c_debug.stacks import line_of, names, silent, waiting

MOST_STACKS = 20_000
"""Different stacks that are kept of one process; samples of others are only counted."""

_DEEPEST = 200
_UNKNOWN = -1

# The ids of the frames' codes, and the instruction that each is at; the newest frame first.
_Key = tuple[tuple[int, ...], tuple[int, ...]]


class _Thread:
    """What was seen of one thread. ``cpu`` is its CPU time when ``count`` was that of the stack it had."""

    __slots__ = ("clock", "count", "cpu", "stacks")

    def __init__(self, thread: int) -> None:
        self.clock = _clock_of(thread)
        self.cpu = _UNKNOWN
        self.count = [0]
        self.stacks: dict[_Key, list[int]] = {}


def _clock_of(thread: int) -> int:
    """Return the number of a thread's clock of CPU time: MAKE_THREAD_CPUCLOCK of Linux's posix-timers.h; 0 if none.

    Not ``time.pthread_getcpuclockid``, which may crash for a thread that has just ended.
    """
    if sys.platform != "linux":
        return 0
    native = next((one.native_id for one in threading.enumerate() if one.ident == thread), None)
    return (~native << 3) | 6 if native else 0


@dataclass(slots=True)
class Samples:
    """What was seen: for each thread, how often each stack."""

    codes: dict[int, CodeType] = field(default_factory=dict)
    threads: dict[int, _Thread] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    stacks: int = 0
    count: int = 0
    dropped: int = 0
    seconds: float = 0.0

    def take(self, own: int) -> None:
        """Take one sample of all threads but our own.

        A thread whose CPU time is the same has done nothing, so its stack is the same: it is not looked at.
        """
        self.count += 1
        threads = self.threads
        for ident, newest in sys._current_frames().items():  # noqa: SLF001 # documented, in spite of its name
            thread = threads.get(ident)
            if thread is None:
                if ident == own:
                    continue
                thread = threads[ident] = _Thread(ident)
            if thread.clock:
                try:
                    cpu = clock_gettime_ns(thread.clock)
                except OSError:  # that thread is no more, and another one has its identifier
                    thread.clock, cpu = _clock_of(ident), _UNKNOWN
                if cpu == thread.cpu != _UNKNOWN:
                    thread.count[0] += 1
                    continue
                thread.cpu = cpu
            self._look(thread, newest)

    def _look(self, thread: _Thread, frame: FrameType | None) -> None:
        codes: list[CodeType] = []
        instructions: list[int] = []
        add_code, add_instruction = codes.append, instructions.append
        while frame is not None:
            add_code(frame.f_code)
            add_instruction(frame.f_lasti)
            frame = frame.f_back
        key = (tuple(map(id, codes[:_DEEPEST])), tuple(instructions[:_DEEPEST]))
        found = thread.stacks.get(key)
        if found is None:
            if self.stacks >= MOST_STACKS:
                self.dropped += 1
                thread.cpu = _UNKNOWN
                return
            self.stacks += 1
            found = thread.stacks[key] = [0]
            # Kept, so that no other code has its id.
            self.codes.update(zip(key[0], codes, strict=False))
        found[0] += 1
        thread.count = found

    def answer(self) -> dict[str, Any]:
        """Return the samples as JSON has them.

        ``{"seconds", "samples", "dropped", "frames": [[function, file, line]...], "threads": [{"id", "name", "stacks":
        [[count, [frame, ...], waiting]...]}]}``, where a stack's frames are indexes, the oldest first, and ``waiting``
        says for what it waits, or null.
        """
        lines = _Lines(self.codes)
        threads = [
            {
                "id": thread,
                "name": self.names.get(thread, ""),
                "stacks": [lines.entry(key, count) for key, (count,) in seen.stacks.items()],
            }
            for thread, seen in self.threads.items()
        ]
        return {
            "seconds": self.seconds,
            "samples": self.count,
            "dropped": self.dropped,
            "frames": lines.frames,
            "threads": threads,
        }


class _Lines:
    """Functions and lines, each told once."""

    def __init__(self, codes: dict[int, CodeType]) -> None:
        self._codes = codes
        self._lines: dict[int, dict[int, int]] = {}
        self._indexes: dict[tuple[int, int], int] = {}
        self.frames: list[tuple[str, str, int]] = []

    def entry(self, key: _Key, count: int) -> tuple[int, list[int], str | None]:
        codes, instructions = key[0][::-1], key[1][::-1]
        stack = [self._index(code, instruction) for code, instruction in zip(codes, instructions, strict=True)]
        places = [(self._codes[code].co_filename, self._codes[code].co_name) for code in codes]
        _, file, line = self.frames[stack[-1]]
        return count, stack, waiting(places, line_of(file, line))

    def _index(self, code_id: int, instruction: int) -> int:
        line = self._line(code_id, instruction)
        index = self._indexes.get((code_id, line))
        if index is None:
            code = self._codes[code_id]
            index = self._indexes[code_id, line] = len(self.frames)
            self.frames.append((code.co_qualname, code.co_filename, line))
        return index

    def _line(self, code_id: int, instruction: int) -> int:
        table = self._lines.get(code_id)
        if table is None:
            table = {}
            for start, end, line in self._codes[code_id].co_lines():
                table.update(dict.fromkeys(range(start, end, 2), line or 0))
            self._lines[code_id] = table
        return table.get(instruction, self._codes[code_id].co_firstlineno)


def sample(
    seconds: float,
    hz: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], Any] = time.sleep,
) -> Samples:
    """Take ``hz`` samples a second for so long; those that would come late are left out."""
    found = Samples()
    own = threading.get_ident()
    begun = clock()
    due = begun
    while (now := clock()) < begun + seconds:
        if now >= due:
            found.take(own)
            due += 1 / hz
            if due < clock():
                due = clock() + 1 / hz
        else:
            sleep(due - now)
    found.names = names()
    found.seconds = clock() - begun
    return found


WAITING = "waiting: "
_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def process_name(answer: dict[str, Any]) -> str:
    """Return how a process is called: host/pid."""
    return f"{answer['hostname']}/{answer['pid']}"


def speedscope(answers: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return a profile in speedscope's format (github.com/jlfwong/speedscope, file-format-spec.ts).

    One sampled profile a thread, weights in seconds, frames shared by all.
    """
    frames: list[dict[str, Any]] = []
    profiles: list[dict[str, Any]] = []
    for answer in answers:
        base = len(frames)
        frames += [{"name": function, "file": file, "line": line} for function, file, line in answer["frames"]]
        each = answer["seconds"] / max(answer["samples"], 1)
        for thread in answer["threads"]:
            weights = [count * each for count, *_ in thread["stacks"]]
            profiles.append(
                {
                    "type": "sampled",
                    "name": f"{process_name(answer)}/{thread['name']}({thread['id']})",
                    "unit": "seconds",
                    "startValue": 0,
                    "endValue": list(accumulate(weights))[-1] if weights else 0,
                    "samples": [[base + frame for frame in stack] for _, stack, _ in thread["stacks"]],
                    "weights": weights,
                }
            )
    # A thread that moves has more different stacks than one that waits.
    profiles.sort(key=lambda one: -len(one["samples"]))
    return {
        "$schema": _SCHEMA,
        "name": name,
        "exporter": "c2c-debug",
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
        "profiles": profiles,
    }


def collapsed(answers: Sequence[dict[str, Any]]) -> str:
    """Return a profile as collapsed stacks, a line each with its count (github.com/brendangregg/FlameGraph)."""
    return "".join(f"{';'.join(path)} {count}\n" for path, count in paths(answers))


def paths(answers: Sequence[dict[str, Any]]) -> Iterator[tuple[list[str], int]]:
    """Yield each stack as its texts, and its count.

    Process, thread, then ``function (file:line)``, the oldest first, and ``waiting: lock`` where it waits.
    """
    for answer in answers:
        texts = [_text(f"{function} ({_short(file)}:{line})") for function, file, line in answer["frames"]]
        for thread in answer["threads"]:
            head = [_text(process_name(answer)), _text(thread["name"] or str(thread["id"]))]
            for count, stack, reason in thread["stacks"]:
                end = [f"{WAITING}{reason}"] if reason else []
                yield [*head, *(texts[frame] for frame in stack), *end], count


def tree(answers: Sequence[dict[str, Any]]) -> list[Any]:
    """Return a profile as one tree: ``[text, count, [children]]``, the biggest child first."""
    root: dict[str, Any] = {}
    total = 0
    for path, count in paths(answers):
        total += count
        level = root
        for text in path:
            node = level.setdefault(text, [0, {}])
            node[0] += count
            level = node[1]
    return ["all", total, _children(root)]


def _children(level: dict[str, Any]) -> list[Any]:
    found = [[text, count, _children(below)] for text, (count, below) in level.items()]
    return sorted(found, key=lambda one: -one[1])


def _short(file: str) -> str:
    """Return the last parts of a path, from the package's folder on where it is a library's."""
    for folder in ("/site-packages/", "/dist-packages/"):
        if folder in file:
            return file.rpartition(folder)[2]
    return "/".join(file.rsplit("/", 3)[-3:])


def _text(text: str) -> str:
    # What separates frames and counts in the collapsed form must not be in a frame.
    return text.replace(";", ":").replace("\n", " ")


def title(answers: Sequence[dict[str, Any]], now: float | None = None) -> str:
    """Return what a profile is called: of which processes, when."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    first = process_name(answers[0]) if answers else "nobody"
    rest = f" and {len(answers) - 1} more" if len(answers) > 1 else ""
    return f"{first}{rest}, {when}"


def page(tree: list[Any], title: str, *, dropped: int = 0) -> tuple[str, str]:
    """Return a flame graph of ``[text, count, [children]]`` as one HTML file that asks nobody for anything.

    And the Content-Security-Policy that lets its own script and style in and nothing else.
    """
    template, css, js = (
        files("c2c_debug").joinpath("page", f"flame_graph.{end}").read_text("utf-8") for end in ("html", "css", "js")
    )
    note = f"<p>{dropped} samples of rare stacks are left out.</p>\n" if dropped else ""
    # In a script element of data, which no text in it can end.
    data = json.dumps({"unit": "samples", "tree": tree}).replace("<", "\\u003c")
    html = template.format(title=escape(title), css=css, js=js, note=note, data=data)
    return html, f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(js)}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_CHANNEL = "c2c_debug_profile"
_LONGEST = 60.0
_FORMATS = ("speedscope", "collapsed", "html")
_OFFERS = {"application/json": "speedscope", "text/html": "html", "text/plain": "collapsed"}


def subscribe(tools: Tools) -> None:
    """Answer what other processes ask."""

    def answer(ticket: str, seconds: float, hz: float) -> dict[str, Any]:
        with tools.gate.enter("profile", seconds, ticket):
            return sample(seconds, hz).answer()

    broadcast.subscribe(_CHANNEL, answer)


def view(request: Any) -> Any:
    """Sample all threads of this process, or of every one (``scope=all``), for ``seconds`` at ``hz``."""
    seconds = number(request, "seconds", 5, minimum=0.1, maximum=_LONGEST)
    hz = number(request, "hz", 100, minimum=1, maximum=1000)
    scope = choice(request, "scope", "one", "all")
    form = choice(request, "format", *_FORMATS) if request.params.get("format") else _accepted(request)
    tools = tools_of(request.registry)
    with tools.gate.request("profile", seconds) as ticket:
        if scope == "all":
            answers = tools.ask(_CHANNEL, {"ticket": ticket, "seconds": seconds, "hz": hz}, seconds)
        else:
            mine = {"hostname": host_name(), "pid": os.getpid(), **sample(seconds, hz).answer()}
            answers = Answers([mine], [], [], [], complete=True)
    return _answer(answers, form)


def _answer(answers: Answers, form: str) -> Any:
    found = sorted(answers.answers, key=lambda one: (one["hostname"], one["pid"]))
    missing = silent(answers)
    name = title(found) + (f", missing: {', '.join(_who(one) for one in missing)}" if missing else "")
    dropped = sum(one["dropped"] for one in found)
    if form == "collapsed":
        notes = "".join(f"# missing: {_who(one)}\n" for one in missing)
        return _respond(notes + collapsed(found), "text/plain")
    if form == "html":
        html, policy = page(tree(found), name, dropped=dropped)
        response = _respond(html, "text/html")
        response.headers["Content-Security-Policy"] = policy
        return response
    body = {**speedscope(found, name), "c2c": {"missing": missing, "dropped": dropped}}
    response = _respond(json.dumps(body), "application/json")
    response.content_disposition = 'inline; filename="profile.speedscope.json"'
    return response


def _accepted(request: Any) -> str:
    offers = request.accept.acceptable_offers(list(_OFFERS))
    if not offers:
        raise json_error(HTTPNotAcceptable, f"A profile is {', '.join(_OFFERS)}; format={'|'.join(_FORMATS)} chooses")
    # Browsers accept everything: what is not asked for by name is the default.
    best, quality = offers[0]
    return _OFFERS["application/json" if ("application/json", quality) in offers else best]


def _respond(text: str, content_type: str) -> Any:
    return Response(text, content_type=content_type, charset="UTF-8", vary=("Accept",))


def _who(entry: dict[str, Any]) -> str:
    return f"{entry['hostname']}/{entry['pid']}" if "pid" in entry else "all other processes"
