"""Write a release's section of a changelog from its fragments."""

import datetime as dt
import textwrap
from collections.abc import Iterable

from tools.fragments import KINDS, Fragment


def section(version: object, day: dt.date, fragments: Iterable[Fragment]) -> str:
    """Return the section, in Markdown: a list for each kind of change, with the numbers of the issues."""
    told = list(fragments)
    lines = [f"## {version} ({day.isoformat()})", ""]
    for kind in KINDS:
        of_kind = [fragment for fragment in told if fragment.kind == kind]
        if of_kind:
            lines += [f"### {kind.capitalize()}", ""]
            lines += map(_item, of_kind)
            lines.append("")
    return "\n".join(lines)


def with_section(changelog: str, new: str) -> str:
    """Return a changelog with a new section above the others."""
    head, mark, older = changelog.partition("\n## ")
    return f"{head.rstrip()}\n\n{new.rstrip()}\n" + (f"{mark}{older}" if mark else "")


def _item(fragment: Fragment) -> str:
    issue = f" (#{fragment.issue})" if fragment.issue.isdecimal() else ""
    return f"- {textwrap.indent(fragment.text + issue, '  ').lstrip()}"
