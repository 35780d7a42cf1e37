"""A flame graph as one HTML file, which asks nobody for anything (flamegraphs: brendangregg.com)."""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

_TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<h1>{title}</h1>
{note}{controls}
<script type="application/json" id="flame-data">{data}</script>
<script>{js}</script>
</body>
</html>
"""

CONTROLS = """\
<form id="flame-controls">
<label>Search <input type="search" id="flame-search" placeholder="function or file"></label>
<label><input type="checkbox" id="flame-working"> at work only</label>
<button type="reset">Reset zoom</button>
<output id="flame-found"></output>
</form>
<p id="flame-detail">Click a frame to zoom in, the top one to zoom out.</p>
<div id="flame"></div>
"""
"""What the script needs on the page."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the Content-Security-Policy that lets its own script and style in and nothing else."""

    html: str
    policy: str


def page(tree: list[Any], title: str, *, dropped: int = 0) -> Page:
    """Return the page of a tree ``[text, count, [children]]``."""
    css, js = part("flame_graph.css"), part("flame_graph.js")
    note = f"<p>{dropped} samples of rare stacks are left out.</p>\n" if dropped else ""
    html = _TEMPLATE.format(
        title=escape(title), css=css, js=js, note=note, controls=CONTROLS, data=data_block(tree, "samples")
    )
    policy = f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(js)}"
    return Page(html, policy)


def data_block(tree: list[Any], unit: str) -> str:
    """Return a tree as JSON for a script element of data: no text in it can end the element."""
    return json.dumps({"unit": unit, "tree": tree}).replace("<", "\\u003c")


@cache
def part(name: str) -> str:
    """Return a file of the package's page."""
    return files("c2c_debug").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
