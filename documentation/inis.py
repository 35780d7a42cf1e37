"""Load ini blocks of pages as a service would, each in a process of its own: ``python -m documentation.inis FILE ...``.

A block shows a part of a file; the rest is filled in: sections round bare keys, an application behind a filter or a
pipeline, the sections of logging that handlers need.
"""

import configparser
import os
import sys
from pathlib import Path
from typing import Any

import plaster
from pyramid.config import Configurator

_USE = "call:documentation.inis:application"


def application(_: dict[str, str], **settings: Any) -> Any:
    """Return a service with nothing in it, for what an ini file says round it."""
    return Configurator(settings=settings).make_wsgi_app()


def complete(file: Path) -> configparser.RawConfigParser:
    """Write into an ini file what a whole one has; return it."""
    text = file.read_text(encoding="utf-8")
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign] # keys as they are: its documentation's way
    parser.read_string(text if text.lstrip("# \n").startswith("[") or "\n[" in text else f"[app:main]\n{text}")
    if "handlers" in parser:
        root = {"level": "INFO", "handlers": parser["handlers"]["keys"]}
        more = {"loggers": {"keys": "root"}, "logger_root": root, "formatters": {"keys": ""}}
        parser.read_dict({name: section for name, section in more.items() if name not in parser})
    if not any(name.startswith("app:") for name in parser):
        filters = [name.removeprefix("filter:") for name in parser if name.startswith("filter:")]
        piped = "pipeline:main" in parser
        name = parser["pipeline:main"]["pipeline"].split()[-1] if piped else "main"
        parser[f"app:{name}"] = {"filter-with": filters[0]} if filters and not piped else {}
    for name, section in parser.items():
        theirs = section.get("use", "egg:my" if name.startswith("app:") else "")
        if theirs.startswith(("egg:my", "call:my")):
            section["use"] = _USE
    with file.open("w", encoding="utf-8") as written:
        parser.write(written)
    return parser


def main() -> None:
    """Load the files: logging, then application; the first one that can't be loaded is the end."""
    for file in map(Path, sys.argv[1:]):
        if child := os.fork():
            if os.waitpid(child, 0)[1]:
                sys.exit(f"{file} can't be loaded")
            continue
        parser = complete(file)
        loader = plaster.get_loader(f"c2c://{file}", protocols=["wsgi"])
        if "loggers" in parser:
            loader.setup_logging({})
        loader.get_wsgi_app()
        sys.exit()


if __name__ == "__main__":
    main()
