"""What can be known to be wrong with an ini file before anything is imported."""

import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from c2c_meta._ini import Ini, IniError

_APPLICATIONS = ("app", "application", "composite", "composit", "pipeline", "filter-app")
_PARTS = (*_APPLICATIONS, "filter")
_LEVELS = frozenset({"CRITICAL", "FATAL", "ERROR", "WARNING", "WARN", "INFO", "DEBUG", "NOTSET"})
_LOGGING = {"loggers": "logger", "handlers": "handler", "formatters": "formatter"}


def check(ini: Ini) -> None:
    """Raise IniError when the file has no application or when a section that the service uses can't be read.

    Sections that it does not use (of other applications, of other tools) may be as they like.
    """
    ini.defaults()  # reading is what fails: PasteDeploy reads all of [DEFAULT]
    application_values(ini)
    if "loggers" in ini:
        logging_values(ini)


def ini_settings(path: str) -> dict[str, str]:
    """Return the settings of an ini file's main application, as texts; nothing is imported for it.

    Raises:
        IniError: the file is missing or broken
    """
    return application_values(Ini(path))


def application_values(ini: Ini) -> dict[str, str]:
    """Return the keys of all sections that make the main application; nothing is imported for it."""
    main = [name for name in ini.sections() if _is_main(name)]
    if not main:
        raise IniError(f"{ini.path}: has no [app:main], [pipeline:main] or [composite:main]")
    if len(main) > 1:
        raise IniError(f"{ini.path}: has several main applications: {', '.join(f'[{name}]' for name in main)}")
    return {key: value for section in _used(ini, main[0]) for key, value in ini.items(section)}


def application_name(ini: Ini) -> str | None:
    """Return what the main application is called: the distribution or package that it is made by, None if unknown."""
    main = next(name for name in ini.sections() if _is_main(name))
    for section in _used(ini, main):
        kind = section.partition(":")[0]
        values = ini[section] if kind in ("app", "application") else {}
        made_by = values.get("paste.app_factory") or values.get("use", "").removeprefix("call:").removeprefix("egg:")
        name = re.split(r"[#:.]", made_by)[0].strip()
        if name and name != "config":
            return name
    return None


def check_factories(ini: Ini) -> None:
    """Raise IniError where a part of the main application, or what makes it, does not exist.

    For a process that ends after it: modules are looked for where gunicorn will look for them. Nothing is said where
    gunicorn is told to look elsewhere.
    """
    given = " ".join([*sys.argv[1:], os.environ.get("GUNICORN_PARAMS", ""), os.environ.get("GUNICORN_CMD_ARGS", "")])
    files = [Path(word) for word in ("gunicorn.conf.py", *re.split(r"[\s=]", given)) if word.endswith(".py")]
    texts = [given, *(file.read_text(errors="replace") for file in files if file.is_file())]
    if any(word in text for text in texts for word in ("chdir", "pythonpath")):
        return
    sys.path[:] = [str(Path.cwd()), *sys.path, str(Path(ini.path).resolve().parent)]
    parts = {name.partition(":")[2].strip() for name in ini.sections() if name.partition(":")[0] in _PARTS}
    for section in _used(ini, next(name for name in ini.sections() if _is_main(name))):
        values = ini[section]
        made = [
            (key, values[key].strip()) for key in values if key == "use" or re.fullmatch(r"paste\.\w+_factory1?", key)
        ]
        if not made and section.partition(":")[0] in ("app", "application"):
            raise IniError(
                f"{ini.path}: [{section}] has neither use nor paste.app_factory: what makes the application?"
            )
        for key, name in _named(section, values):
            if ":" not in name and name not in parts:
                raise IniError(f"{ini.path}: [{section}] {key} names {name}, of which there is no section")
        for key, value in made:
            missing = _missing(value if key == "use" else f"call:{value}")
            if missing:
                raise IniError(f"{ini.path}: [{section}] {key} = {value}: {missing}")


def _named(section: str, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the parts that a pipeline or a map of URLs names, by key."""
    for key, value in values.items():
        if key == "filter-with" or (key == "pipeline" and section.startswith("pipeline")):
            yield from ((key, word) for word in value.split())
        elif values.get("use", "").endswith("#urlmap") and key.startswith(("/", "http", "domain ")):
            yield key, value.strip()


def _missing(factory: str) -> str:
    """Return what is not there of ``call:module:function`` or ``egg:distribution#name``, else an empty text."""
    kind, _, rest = factory.partition(":")
    name = re.split("[:#]", rest)[0].strip()
    try:
        if kind == "egg":
            importlib.metadata.distribution(name)
            return ""
        there = kind != "call" or importlib.util.find_spec(name) is not None
    except importlib.metadata.PackageNotFoundError:
        return f"no distribution {name!r} is installed: pip install it"
    except ModuleNotFoundError:
        there = False
    except Exception:  # noqa: BLE001 # of a package around it, or an empty name: the start shows its traceback
        there = True
    return "" if there else f"there is no module {name!r}: install it, or start where it is"


def logging_values(ini: Ini) -> dict[str, dict[str, str]]:
    """Return the sections of logging, interpolated but for formats, whose ``%(message)s`` is for logging."""
    values: dict[str, dict[str, str]] = {}
    defaults = ini.defaults()
    missing = [f"[{group}]" for group in _LOGGING if group not in ini]
    if missing:
        raise IniError(f"{ini.path}: has no {', '.join(missing)}, which go with [loggers]")
    for group, prefix in _LOGGING.items():
        keys = ini.get(group, "keys", fallback="")
        values[group] = {"keys": keys}
        for key in filter(None, map(str.strip, keys.split(","))):
            section = f"{prefix}_{key}"
            if section not in ini:
                raise IniError(f"{ini.path}: has no [{section}], which [{group}] names")
            names = [*defaults, *(name for name in ini[section] if name not in defaults)]
            raw = prefix == "formatter"
            values[section] = {
                name.lower(): ini.get(section, name, raw=raw and name.lower() != "class") for name in names
            }
            level = values[section].get("level", "").strip().upper()
            if level in _LEVELS:  # in small letters, too; any other one may be of a library that is not imported yet
                values[section]["level"] = level
    return values


def _is_main(section: str) -> bool:
    kind, _, name = section.partition(":")
    return kind in _APPLICATIONS and name.strip() in ("", "main")


def _used(ini: Ini, section: str) -> Iterator[str]:
    """Yield the sections that make the application, as far as the names in them say so."""
    seen, todo = set(), [section]
    while todo:
        section = todo.pop()
        if section in seen:
            continue
        seen.add(section)
        yield section
        words = {word for value in ini[section].values() for word in value.split()}
        for other in ini.sections():
            kind, _, name = other.partition(":")
            if kind in _PARTS and name.strip() in words:
                todo.append(other)
