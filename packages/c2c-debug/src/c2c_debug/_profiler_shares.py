"""How much of a request's time belongs to which package: the profiler's pie."""

import math
from collections.abc import Sequence
from typing import Any

from c2c_debug._markup import Html, join, tag

OTHER = "other"
_COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#edc948", "#76b7b2", "#ff9da7", "#9c755f")
_GREY = "#bab0ac"
_RADIUS = 90
_WHOLE = 0.9999


def shares(tree: list[Any], modules: Sequence[str]) -> dict[str, float]:
    """Return seconds by package: a frame's own time is of the innermost package among its callers and itself."""
    # The longest first: a package's own subpackage wins.
    parts = {module: module.replace(".", "/") for module in sorted(modules, key=len, reverse=True)}
    found = dict.fromkeys([*modules, OTHER], 0.0)

    def add(node: list[Any], owner: str) -> None:
        text, seconds, children = node
        owner = next((module for module, part in parts.items() if f"/{part}/" in text or f"/{part}.py:" in text), owner)
        found[owner] += max(seconds - sum(child[1] for child in children), 0.0)
        for child in children:
            add(child, owner)

    add(tree, OTHER)
    return found


def pie(found: dict[str, float]) -> Html:
    """Return shares as a pie (SVG) with a table beside it."""
    total = sum(found.values()) or 1.0
    slices, rows = [], []
    angle = 0.0
    for number, (name, seconds) in enumerate(found.items()):
        colour = _GREY if name == OTHER else _COLOURS[number % len(_COLOURS)]
        share = seconds / total
        slices.append(_slice(angle, share, colour, f"{name}: {share:.1%}"))
        angle += share
        square = tag("svg", tag("rect", width=12, height=12, fill=colour), width=12, height=12, aria_hidden="true")
        times = (f"{seconds * 1000:.1f} ms", f"{share:.1%}")
        rows.append(tag("tr", tag("td", square), tag("td", name), *(tag("td", one, class_="number") for one in times)))
    box = f"{-_RADIUS - 5} {-_RADIUS - 5} {2 * _RADIUS + 10} {2 * _RADIUS + 10}"
    chart = tag("svg", *slices, viewBox=box, width=200, height=200, role="img", aria_label="time by package")
    return tag("div", chart, tag("table", *rows), class_="pie")


def _slice(start: float, share: float, colour: str, title: str) -> Html:
    name = tag("title", title)
    if share >= _WHOLE:
        return tag("circle", name, r=_RADIUS, fill=colour)
    points = [
        (math.sin(turn * math.tau) * _RADIUS, -math.cos(turn * math.tau) * _RADIUS) for turn in (start, start + share)
    ]
    (x, y), (u, v) = points
    path = f"M0 0L{x:.2f} {y:.2f}A{_RADIUS} {_RADIUS} 0 {int(share > 1 / 2)} 1 {u:.2f} {v:.2f}Z"
    return join(tag("path", name, d=path, fill=colour))
