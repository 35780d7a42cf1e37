"""The forms in which a report comes, as ``Accept`` says: pure functions of the report."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

JSON = "application/json"
HEALTH_JSON = "application/health+json"
TEXT = "text/plain"
HTML = "text/html"
OFFERS = (JSON, HEALTH_JSON, HTML, TEXT)
"""What can be had; the first for a client that does not care."""

Report = Mapping[str, Any]


def rows(report: Report) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield name, ``pass``, ``warn`` or ``fail``, and entry of each check: the failed ones first."""
    for name, entry in report["failures"].items():
        yield name, "fail", entry
    for name, entry in report["successes"].items():
        yield name, "warn" if "message" in entry else "pass", entry


def overall(report: Report) -> str:
    """Return ``pass``, ``warn`` or ``fail`` for all of it."""
    found = {state for _, state, _ in rows(report)}
    return next((state for state in ("fail", "warn") if state in found), "pass")


def health_json(report: Report, version: str | None = None) -> str:
    """Return the form of draft-inadarei-api-health-check-06 (``observedValue`` is how long the check took)."""
    checks = {}
    for name, state, entry in rows(report):
        check = {"status": state, "observedValue": round(entry["timing"] * 1000, 3), "observedUnit": "ms"}
        output = entry.get("message")
        # Section 4.8: output is left out where it passes.
        # Section 4: the component's name is without a colon, which parts it from what is measured.
        key = f"{name.replace(':', '_')}:responseTime"
        checks[key] = [{"componentId": name, **check, **({"output": output} if output else {})}]
    found: dict[str, Any] = {"status": overall(report)}
    if version:
        found["releaseId"] = version
    return json.dumps({**found, "checks": checks}, indent=2)


def text(report: Report) -> str:
    """Return one line a check, the failed ones first."""
    lines = [
        f"{state} {_one_line(name)} level={entry['level']} {entry['timing'] * 1000:.1f} ms"
        + (f": {_one_line(note)}" if (note := entry.get("message")) else "")
        for name, state, entry in rows(report)
    ]
    return "\n".join(lines or ["pass"]) + "\n"


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Health: {state}</title></head>
<body><h1>Health: {state}</h1>
<table><thead><tr><th scope="col">Check</th><th scope="col">State</th><th scope="col">Level</th>
<th scope="col">ms</th><th scope="col">Message</th><th scope="col">Result</th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""


def html(report: Report) -> str:
    """Return a page with a table."""
    lines = []
    for name, state, entry in rows(report):
        result = json.dumps(entry["result"], ensure_ascii=False) if "result" in entry else ""
        note = entry.get("message") or ""
        cells = (state, entry["level"], f"{entry['timing'] * 1000:.1f}", note, result)
        data = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{data}</tr>')
    return _PAGE.format(state=overall(report), rows="\n".join(lines))


def _one_line(words: str) -> str:
    return " ".join(words.split())
