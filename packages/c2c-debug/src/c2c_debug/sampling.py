"""``profile``: what all threads do, sampled for some seconds."""

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from pyramid.response import Response

from c2c_broadcast import Answers, broadcast
from c2c_broadcast.process import host_name
from c2c_debug._parameters import choice, number
from c2c_debug.heavy import Tools, tools_of
from c2c_debug.stacks import Samples, process_name, silent

_CHANNEL = "c2c_debug_profile"
_LONGEST = 60.0


def subscribe(tools: Tools) -> None:
    """Answer what other processes ask."""

    def answer(seconds: float, hz: float) -> dict[str, Any]:
        with tools.alone("profile"):
            return sample(seconds, hz).answer()

    broadcast.subscribe(_CHANNEL, answer)


def view(request: Any) -> Any:
    """Sample all threads of this process, or of every one (``scope=all``), for ``seconds`` at ``hz``."""
    seconds = number(request, "seconds", 5, minimum=0.1, maximum=_LONGEST)
    hz = number(request, "hz", 100, minimum=1, maximum=1000)
    scope = choice(request, "scope", "one", "all")
    form = choice(request, "format", "speedscope", "collapsed", "html")
    tools = tools_of(request.registry)
    if scope == "all":
        answers = tools.ask(_CHANNEL, {"seconds": seconds, "hz": hz}, seconds)
    else:
        with tools.alone("profile"):
            mine = {"hostname": host_name(), "pid": os.getpid(), **sample(seconds, hz).answer()}
        answers = Answers([mine], [], [], [], complete=True)
    return _answer(answers, form)


def sample(
    seconds: float,
    hz: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], Any] = time.sleep,
) -> Samples:
    """Take ``hz`` samples a second of all threads but this one; those that would come late are left out."""
    found = Samples()
    own = threading.get_ident()
    due = begun = clock()
    while (now := clock()) < begun + seconds:
        if now >= due:
            found.take(own)
            due += 1 / hz
            if due < clock():
                due = clock() + 1 / hz
        else:
            sleep(due - now)
    found.seconds = clock() - begun
    return found


def _answer(answers: Answers, form: str) -> Any:
    found = sorted(answers.answers, key=lambda one: (one["hostname"], one["pid"]))
    missing = silent(answers)
    without = ", ".join(process_name(one) for one in missing)
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    title = f"{process_name(found[0]) if found else 'nobody'}{others}, {time.strftime('%Y-%m-%d %H:%M:%S')}"
    title += f", missing: {without}" if missing else ""
    dropped = sum(one["dropped"] for one in found)
    if form == "collapsed":
        notes = "".join(f"# missing: {process_name(one)}\n" for one in missing)
        return Response(notes + collapsed(found), content_type="text/plain", charset="UTF-8")
    if form == "html":
        html, policy = page(collapsed(found), title, dropped)
        response = Response(html, content_type="text/html", charset="UTF-8")
        response.headers["Content-Security-Policy"] = policy
        return response
    body = {**speedscope(found, title), "c2c": {"missing": missing, "dropped": dropped}}
    response = Response(json.dumps(body), content_type="application/json", charset="UTF-8")
    response.content_disposition = 'inline; filename="profile.speedscope.json"'
    return response


def speedscope(answers: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return a profile in speedscope's format (github.com/jlfwong/speedscope, file-format-spec.ts).

    One sampled profile a thread, weights in seconds, frames shared by all.
    """
    frames: list[dict[str, Any]] = []
    profiles: dict[str, dict[str, Any]] = {}
    for answer in answers:
        base = len(frames)
        frames += [{"name": function, "file": file, "line": line} for function, file, line in answer["frames"]]
        each = answer["seconds"] / max(answer["samples"], 1)
        for stack in answer["stacks"]:
            for thread, thread_name, count in stack["threads"]:
                who = f"{process_name(answer)}/{thread_name}({thread})"
                empty = {"type": "sampled", "name": who, "unit": "seconds", "startValue": 0, "endValue": 0.0}
                profile = profiles.setdefault(who, {**empty, "samples": [], "weights": []})
                profile["samples"].append([base + frame for frame in stack["frames"]])
                profile["weights"].append(count * each)
                profile["endValue"] += count * each
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": name,
        "exporter": "c2c-debug",
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
        # A thread that moves has more different stacks than one that waits.
        "profiles": sorted(profiles.values(), key=lambda one: -len(one["samples"])),
    }


def collapsed(answers: Sequence[dict[str, Any]]) -> str:
    """Return a profile as collapsed stacks, a line each with its count (github.com/brendangregg/FlameGraph).

    Process, thread, then ``function (file:line)``, the oldest first, and ``waiting: lock`` where it waits.
    """
    lines = []
    for answer in answers:
        texts = [_text(f"{function} ({_short(file)}:{line})") for function, file, line in answer["frames"]]
        for stack in answer["stacks"]:
            path = [texts[frame] for frame in stack["frames"]]
            path += [f"waiting: {stack['waiting']}"] if stack["waiting"] else []
            for thread, name, count in stack["threads"]:
                lines.append(";".join([_text(process_name(answer)), _text(name or str(thread)), *path]) + f" {count}\n")
    return "".join(lines)


def _short(file: str) -> str:
    """Return the last parts of a path, from the package's folder on where it is a library's."""
    for folder in ("/site-packages/", "/dist-packages/"):
        if folder in file:
            return file.rpartition(folder)[2]
    return "/".join(file.rsplit("/", 3)[-3:])


def _text(text: str) -> str:
    # What separates frames and counts in the collapsed form must not be in a frame.
    return text.replace(";", ":").replace("\n", " ")


def page(stacks: str, title: str, dropped: int) -> tuple[str, str]:
    """Return a flame graph of collapsed stacks as one HTML file that asks nobody for anything.

    And the Content-Security-Policy that lets its own script and style in and nothing else.
    """
    template, css, js = (
        files("c2c_debug").joinpath("page", f"flame_graph.{end}").read_text("utf-8") for end in ("html", "css", "js")
    )
    note = f"<p>{dropped} samples of rare stacks are left out.</p>\n" if dropped else ""
    # In a script element of data, which no text in it can end.
    data = json.dumps(stacks).replace("<", "\\u003c")
    html = template.format(title=escape(title), css=css, js=js, note=note, data=data)
    return html, f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(js)}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
