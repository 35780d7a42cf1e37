"""``stacks``: what every thread of every process is at."""

import os
import socket
from collections.abc import Iterable
from typing import Any

from pyramid.response import Response

from c2c_broadcast import masker_of
from c2c_broadcast.broadcast import Answers, ask
from c2c_debug._source import line_of
from c2c_debug._threads import Stack, names, stacks
from c2c_debug._together import silent
from c2c_debug._waiting import waiting

CHANNEL = "c2c_debug_stacks"
_TIMEOUT = 10.0
_FORMS = ("application/json", "text/plain")


def take() -> dict[str, Any]:
    """Return the stacks of this process: ``{"stacks": [...]}``, as ``rendered`` says them."""
    found, named = stacks(), names()
    return {"stacks": rendered(found, named, f"{socket.gethostname()}/{os.getpid()}")}


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
    found = masked(together(ask(CHANNEL, timeout=_TIMEOUT)))
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
