"""Ini files whose values may use the environment: ``%(NAME)s``. Standard library only, for c2c-run starts with it.

A name is looked up exactly as it is written, first in the file (the key's section, then ``[DEFAULT]``), then in the
environment. What comes from the environment arrives as it is, percent signs included, and is never a setting by itself:
it takes no part in ``items()`` and ``defaults()``. What can be known to be wrong with a file is found before anything
is imported.
"""

import configparser
import difflib
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

_APPLICATIONS = ("app", "application", "composite", "composit", "pipeline", "filter-app")
_PARTS = (*_APPLICATIONS, "filter")


class IniError(configparser.Error):
    """An ini file that can't be followed.

    The message is one line: file, line number where it is known, section and key, what is wrong and the remedy. It
    never shows a value: a value may be a secret.
    """


class Ini(configparser.ConfigParser):
    """The content of one ini file; keys keep their case, as PasteDeploy has them.

    Args:
        path: the file; IniError when it is missing or broken
        environ: where names come from that the file does not define
        defaults: more keys of ``[DEFAULT]``, where the file has not got them
    """

    def __init__(
        self, path: str | Path, environ: Mapping[str, str] = os.environ, defaults: Mapping[str, str] | None = None
    ) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, `here` must not
        self.environ = environ
        super().__init__(interpolation=_Interpolation())
        given = {**(defaults or {}), "here": str(self.path.parent), "__file__": str(self.path)}
        self.read_dict({"DEFAULT": {name: _escape(value) for name, value in given.items()}})
        try:
            with self.path.open(encoding="utf-8") as lines:
                self.read_file(lines, str(self.path))
        except FileNotFoundError:
            raise IniError(f"{self.path}: no such file") from None
        except OSError as error:
            raise IniError(f"{self.path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise IniError(f"{self.path}: is not encoded in UTF-8") from None
        except configparser.Error as error:
            raise IniError(f"{self.path}:{_parse_error(error)}") from None

    def optionxform(self, optionstr: str) -> str:
        """Keep the case of a key."""
        return optionstr

    def defaults(self) -> dict[str, str]:
        """Return a copy of ``[DEFAULT]``, interpolated, as PasteDeploy wants it."""
        return {name: self.get("DEFAULT", name) for name in super().defaults()}


def _escape(value: str) -> str:
    """Return a value that interpolation gives back as it was."""
    return value.replace("%", "%%")


class _Interpolation(configparser.BasicInterpolation):
    """``%(NAME)s`` from the file, then from the environment."""

    def before_get(self, parser: Any, section: str, option: str, value: str, defaults: Mapping[str, str]) -> str:
        """Return ``value`` with its names replaced; IniError names the one that is not defined."""
        names = {name: _escape(text) for name, text in parser.environ.items()}
        # What NAME = %(NAME)s means is the environment's.
        own = {name: text.replace(f"%({name})s", names.get(name, f"%({name})s")) for name, text in defaults.items()}
        names |= own
        try:
            return super().before_get(parser, section, option, own.get(option, value), names)
        except configparser.InterpolationMissingOptionError as error:
            folded = {other.lower(): other for other in names}
            near = difflib.get_close_matches(error.reference.lower(), folded, 1, 0.8)
            hint = f" (did you mean {folded[near[0]]}?)" if near else ""
            problem = (
                f"uses %({error.reference})s, which is defined neither in the file nor in the environment{hint}: "
                f"set {error.reference}"
            )
        except configparser.InterpolationDepthError:
            problem = "refers to itself"
        except configparser.InterpolationSyntaxError:
            problem = "has a % that begins no %(NAME)s: write %% for a percent sign"
        from c2c_logging import locate

        raise IniError(f"{locate(parser.path, section, option)}: {problem}")


def _parse_error(error: configparser.Error) -> str:
    match error:
        case configparser.MissingSectionHeaderError(lineno=line):
            return f"{line}: a line before the first [section]"
        case configparser.DuplicateSectionError(lineno=line, section=section):
            return f"{line}: section [{section}] is there twice"
        case configparser.DuplicateOptionError(lineno=line, section=section, option=option):
            return f"{line}: [{section}] {option} is there twice"
        case configparser.ParsingError(errors=[(line, _), *_]):
            return f"{line}: neither a [section] nor a key = value"
        case _:
            return f" {type(error).__name__}"


def ini_settings(path: str) -> dict[str, str]:
    """Return the settings of an ini file's main application, as texts; nothing is imported for it.

    Raises:
        IniError: the file is missing or broken
    """
    return application_values(Ini(path))


def application_values(ini: Ini) -> dict[str, str]:
    """Return the keys of all sections that make the main application; nothing is imported for it."""
    return {key: value for section in _used(ini) for key, value in ini.items(section)}


def _used(ini: Ini) -> list[str]:
    """Return the sections that make the main application, as far as the names in them say so."""
    parts = [(name, *map(str.strip, name.partition(":")[::2])) for name in ini.sections()]
    main = [section for section, kind, name in parts if kind in _APPLICATIONS and name in ("", "main")]
    if not main:
        raise IniError(f"{ini.path}: has no [app:main], [pipeline:main] or [composite:main]")
    if len(main) > 1:
        raise IniError(f"{ini.path}: has several main applications: {', '.join(f'[{name}]' for name in main)}")
    used: list[str] = []
    while main:
        section = main.pop()
        if section not in used:
            used.append(section)
            words = {word for value in ini[section].values() for word in value.split()}
            main += [other for other, kind, name in parts if kind in _PARTS and name in words]
    return used


def application_name(ini: Ini) -> str | None:
    """Return what the main application is called: the distribution or package that it is made by, None if unknown."""
    for section in _used(ini):
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
    for section in _used(ini):
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


def setup_logging(path: str | Path, names: Mapping[str, str] | None = None) -> bool:
    """Configure logging from ``[loggers]``, ``[handlers]`` and ``[formatters]``; loggers that exist keep working.

    Values may use ``%(NAME)s`` as everywhere, and ``names`` more, except ``format``, ``datefmt`` and ``style`` of
    formatters, whose percent signs are for logging. Without ``[loggers]`` it is ``logging.basicConfig()``, and False.

    Raises:
        IniError: the sections can't be followed
    """
    import logging

    if "loggers" not in Ini(path):
        logging.basicConfig()
        return False
    from c2c_broadcast import ConfigurationError
    from c2c_logging import configure_logging

    try:
        return configure_logging(Path(path).absolute(), {**os.environ, **(names or {})})
    except ConfigurationError as error:
        raise IniError(str(error)) from error


@cache
def set_up_logging_once(path: str) -> bool:
    """Set logging up from an ini file, once a process and those it forks; return whether the file says how."""
    return setup_logging(path)
