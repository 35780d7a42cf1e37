"""Load an ini block of a page as a service would: ``python -m documentation.inis FILE``.

A block shows a part of a file; the rest is filled in: sections round bare keys, an application behind a filter or a
pipeline, the sections of logging that handlers need.
"""

import configparser
import sys
from pathlib import Path
from typing import Any

import plaster
from pyramid.config import Configurator

_LOGGING = {
    "loggers": "keys = root",
    "logger_root": "level = INFO\nhandlers = {handlers}",
    "formatters": "keys =",
}


def application(_: dict[str, str], **settings: Any) -> Any:
    """Return a service with nothing in it, for what an ini file says round it."""
    return Configurator(settings=settings).make_wsgi_app()


def completed(text: str) -> str:
    """Return an ini block with what a whole file has."""
    if not text.lstrip("# \n").startswith("[") and "\n[" not in text:
        text = f"[app:main]\n{text}"
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    sections = parser.sections()
    more = []
    if parser.has_section("handlers"):
        wanted = {name: body for name, body in _LOGGING.items() if name not in sections}
        more += [f"[{name}]\n{body.format(handlers=parser['handlers']['keys'])}" for name, body in wanted.items()]
    filters = [name.split(":", 1)[1] for name in sections if name.startswith("filter:")]
    if not any(name.startswith("app:") for name in sections):
        name = parser["pipeline:main"]["pipeline"].split()[-1] if "pipeline:main" in sections else "main"
        behind = f"filter-with = {filters[0]}\n" if filters and name == "main" else ""
        more.append(f"[app:{name}]\nuse = call:documentation.inis:application\n{behind}")
    elif not any("use" in parser[name] for name in sections if name.startswith("app:")):
        text = text.replace("[app:main]", "[app:main]\nuse = call:documentation.inis:application")
    return "\n".join([text, *more])


def main() -> int:
    """Load the file: its logging, then its application."""
    file = Path(sys.argv[1])
    text = completed(file.read_text(encoding="utf-8"))
    lines = ["use = call:documentation.inis:application" if line.startswith(("use = egg:my", "use = call:my")) else line
             for line in text.splitlines()]  # fmt: skip
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    loader = plaster.get_loader(f"c2c://{file}", protocols=["wsgi"])
    if "[loggers]" in text:
        loader.setup_logging({})
    loader.get_wsgi_app()
    return 0


if __name__ == "__main__":
    sys.exit(main())
