"""``c2c-settings``: every setting of every installed package, its value, and where that came from."""

import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import plaster

from c2c_broadcast.command import Parser, one_line
from c2c_broadcast.settings import misspelt, resolve

GROUP = "c2c.settings"
"""The entry points by which packages name their settings classes: ``c2c_health = "c2c_health:HealthSettings"``."""


def rows(settings: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield package, environment, key, value and from (``ERROR ...`` for what is wrong) of each package's settings."""
    points = importlib.metadata.entry_points(group=GROUP)
    classes = {
        point.name: point.load() for point in sorted(points, key=lambda one: (one.name != "c2c_broadcast", one.name))
    }
    for package, cls in classes.items():
        for outcome in resolve(cls, settings, environ):
            of = outcome.declaration
            env, key = (name and f"{name}{'*' if of.prefix else ''}" for name in (of.env or "", of.key or ""))
            alias = "" if outcome.source in {of.env, of.key} else outcome.source
            said = f"ERROR {outcome.error}" if outcome.error else f"{outcome.origin} {alias}".strip()
            yield _row(package, env, key, "" if outcome.error else outcome.shown, said)
    for name, near in misspelt(classes.values(), settings, environ).items():
        yield _row("", "", "", "", f"ERROR nothing reads {name}: is it {near}?")


def _row(*cells: str) -> dict[str, str]:
    return dict(zip(("package", "environment", "key", "value", "from"), cells, strict=True))


def main(argv: list[str] | None = None, out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Print the table; exit 0, 1 where a setting can't be read or is misspelt, 2 where the ini file can't."""
    parser = Parser("c2c-broadcast", prog="c2c-settings", description=__doc__)
    parser.add_argument("--json", action="store_true", help="a list of objects, with package and ini key, instead")
    parser.add_argument("ini", nargs="?", help="ini file or plaster URI; without it, the environment alone")
    arguments = parser.parse_args(argv)
    try:
        settings = _read(arguments.ini) if arguments.ini else {}
    except Exception as error:  # noqa: BLE001 # any loader, any error: one line
        err.write(f"c2c-settings: {arguments.ini}: {one_line(error)}\n")
        return 2
    found = list(rows(settings, os.environ))
    try:
        if arguments.json:
            out.write(json.dumps(found, indent=2) + "\n")
        for row in () if arguments.json else found:
            # The value comes last: it may be long, and the table is narrow.
            name = row["environment"] or row["key"]
            out.write((f"{name:32} {row['from']:11} {row['value']}" if name else row["from"]).rstrip() + "\n")
        out.flush()
    except BrokenPipeError:  # c2c-settings | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # for what Python flushes at its end
    return 1 if any(row["from"].startswith("ERROR") for row in found) else 0


def _read(ini: str) -> Mapping[str, Any]:
    """Return the settings of ``[app:main]``, with the environment's variables as ``%(NAME)s``."""
    if "://" in ini:
        found: Mapping[str, Any] = plaster.get_settings(ini, "app:main")
        return found
    path = Path(ini)
    if not path.is_file():
        raise FileNotFoundError("no such file")
    schemes = {point.name for point in importlib.metadata.entry_points(group="plaster.loader_factory")}
    if "c2c" in schemes:
        found = plaster.get_settings(f"c2c://{path.resolve()}", "app:main")
    else:
        defaults = {name: value.replace("%", "%%") for name, value in os.environ.items()}
        found = plaster.get_settings(str(path), "app:main", defaults=defaults)
        found = {name: value for name, value in found.items() if name not in defaults}
    return found


if __name__ == "__main__":
    sys.exit(main())
