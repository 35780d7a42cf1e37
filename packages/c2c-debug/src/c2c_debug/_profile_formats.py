"""Sampling profiles in the forms that people's tools read."""

import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

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


def shortened(node: list[Any]) -> list[Any]:
    """Return a tree of ``function (file:line)`` with the files' paths shortened."""
    text, count, children = node
    function, bracket, place = text.partition(" (/")
    return [f"{function} ({_short('/' + place)}" if bracket else text, count, [shortened(one) for one in children]]


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
