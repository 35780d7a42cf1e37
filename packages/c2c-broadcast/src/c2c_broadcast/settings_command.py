"""``c2c-settings``: every setting of every installed package, its value, and where that came from."""

import argparse
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import plaster

from c2c_broadcast.secrets import mask
from c2c_broadcast.settings import Resolved, misspelt, resolve

GROUP = "c2c.settings"
"""The entry points by which packages name their settings classes: ``c2c_health = "c2c_health:HealthSettings"``."""

Row = tuple[str, str, str, str, str]
_HEAD: Row = ("package", "environment", "ini key", "value", "from")


def rows(settings: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Row]:
    """Yield (package, variable, ini key, shown value, origin) for each setting of each installed package."""
    points = sorted(
        importlib.metadata.entry_points(group=GROUP),
        key=lambda point: (point.name != "c2c_broadcast", point.name),
    )
    for point in points:
        for outcome in resolve(point.load(), settings, environ):
            if isinstance(outcome, Resolved):
                declaration = outcome.declaration
                star = "*" if declaration.prefix else ""
                yield (
                    point.name,
                    (declaration.env or "") + (star if declaration.env else ""),
                    (declaration.key or "") + (star if declaration.key else ""),
                    outcome.shown,
                    f"{outcome.origin} {outcome.source}".strip()
                    if outcome.source not in {declaration.env, declaration.key}
                    else outcome.origin,
                )
            else:
                yield (point.name, "", "", "", f"ERROR {outcome}")


def main(argv: list[str] | None = None, out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Print the table; exit 0, 1 where a setting can't be read or is misspelt, 2 where the ini file can't."""
    parser = argparse.ArgumentParser(prog="c2c-settings", description=__doc__)
    parser.add_argument("--json", action="store_true", help="a list of objects instead of a table")
    parser.add_argument("ini", nargs="?", help="ini file or plaster URI; without it, the environment alone")
    arguments = parser.parse_args(argv)
    try:
        settings = _read(arguments.ini) if arguments.ini else {}
    except Exception as error:  # noqa: BLE001 # any loader, any error: one line
        err.write(f"c2c-settings: {arguments.ini}: {mask(' '.join(str(error).split()))}\n")
        return 2
    table = [_HEAD, *rows(settings, os.environ)]
    points = importlib.metadata.entry_points(group=GROUP)
    near = misspelt([point.load() for point in points], settings, os.environ)
    table += [("", "", "", "", f"ERROR nothing reads {name}: is it {one}?") for name, one in near.items()]
    if arguments.json:
        keys = ("package", "environment", "key", "value", "from")
        out.write(json.dumps([dict(zip(keys, row, strict=True)) for row in table[1:]], indent=2) + "\n")
        return 1 if any(row[4].startswith("ERROR") for row in table) else 0
    widths = [max(len(row[column]) for row in table if not row[4].startswith("ERROR")) for column in range(4)]
    try:
        for row in table:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            out.write("  ".join([*cells, row[4]]).rstrip() + "\n")
        out.flush()
    except BrokenPipeError:  # c2c-settings | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # for what Python flushes at its end
    return 1 if any(row[4].startswith("ERROR") for row in table) else 0


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
