"""What a ``gunicorn.conf.py`` of c2cwsgiutils 6 asks: the ini file, its logging as a dict, and the environment."""

import ast
import configparser
import inspect
import logging
import logging.handlers
import os
import pkgutil
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from c2c_broadcast import ConfigurationError, mask
from c2c_broadcast.settings import warn_once
from c2c_compat._era import called
from c2c_compat._refusal import refuse

_LOG = logging.getLogger(__name__)
_OPTIONS = ("--paste", "--paster")
_DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"
_GROUPS = {"loggers": "logger", "handlers": "handler", "formatters": "formatter"}
_VARIABLE = re.compile(r"%%|%\(([^)]{1,200})\)s")
_SCHEME = re.compile(r"c2c(?:\+ini)?://")


def get_config_defaults() -> dict[str, str]:
    """Return the environment as defaults of an ini file, percent signs doubled.

    Of names that differ in their case only the first stays, with one warning a name.
    """
    called(6, "get_config_defaults")
    found: dict[str, str] = {}
    seen: dict[str, str] = {}
    for name, value in os.environ.items():
        first = seen.setdefault(name.lower(), name)
        if first == name:
            found[name] = value.replace("%", "%%")
        else:
            warn_once(_LOG, "The environment has %s and %s: an ini file has only the first", first, name)
    return found


def get_paste_config(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the ini file that gunicorn was given by ``--paste``, else ``C2CWSGIUTILS_CONFIG``, else production.ini."""
    called(6, "get_paste_config")
    given = [*shlex.split(environ.get("GUNICORN_CMD_ARGS", "")), *(sys.argv if arguments is None else arguments)]
    found = None
    for position, argument in enumerate(given):
        name, equals, value = argument.partition("=")
        if name in _OPTIONS:
            # The command line comes last, and wins, as in gunicorn.
            found = value if equals else next(iter(given[position + 1 :]), found)
    return found or environ.get("C2CWSGIUTILS_CONFIG") or "production.ini"


def get_logconfig_dict(filename: str) -> dict[str, Any]:
    """Return what the ini file says of logging as ``logging.config.dictConfig`` wants it.

    Values may use ``%(NAME)s`` of the file and of the environment, but for formats. Of a handler, ``kwargs`` are keys
    of the dict, and ``args`` the arguments of its class by their names.

    Raises:
        ConfigurationError: The file is missing, says nothing of logging, or can't be followed; it and the section are
            named.
    """
    called(6, "get_logconfig_dict")
    refuse()
    path = Path(_SCHEME.sub("", filename).partition("#")[0]).absolute()
    ini = _read(path)
    missing = [group for group in _GROUPS if group not in ini]
    if missing:
        raise ConfigurationError(f"{path}: has no [{missing[0]}]: logging wants [loggers], [handlers] and [formatters]")
    sections = {group: _sections(path, ini, group) for group in _GROUPS}
    loggers = dict(sections["loggers"])
    root = loggers.pop("root", {})
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "root": _logger(root),
        "loggers": {one.get("qualname", name): _logger(one) for name, one in loggers.items()},
        "handlers": {name: _handler(path, name, one) for name, one in sections["handlers"].items()},
        "formatters": {
            name: {
                "format": one.get("format"),
                "datefmt": one.get("datefmt", _DATE_FORMAT),
                "class": one.get("class", "logging.Formatter"),
            }
            for name, one in sections["formatters"].items()
        },
    }


def _read(path: Path) -> configparser.RawConfigParser:
    ini = configparser.RawConfigParser()
    try:
        ini.read_string(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        text = getattr(error, "strerror", None) or str(error).replace("\n", " ")
        raise ConfigurationError(f"{path}: can't be read: {text}") from None
    return ini


def _sections(path: Path, ini: configparser.RawConfigParser, group: str) -> dict[str, dict[str, str]]:
    found = {}
    for name in _names(ini[group].get("keys", "")):
        section = f"{_GROUPS[group]}_{name}"
        if section not in ini:
            raise ConfigurationError(f"{path}: [{section}] is missing: [{group}] names it")
        # Formats have percent signs of their own.
        found[name] = {
            key: text if group == "formatters" else _value(path, ini[section], key)
            for key, text in ini[section].items()
        }
        level = found[name].get("level")
        if level is not None and group != "formatters":
            found[name]["level"] = level.strip().upper()
            if not isinstance(logging.getLevelName(found[name]["level"]), int):
                raise ConfigurationError(f"{path}: [{section}] level = {mask(level)}: is no level, such as INFO")
    return found


def _value(path: Path, section: configparser.SectionProxy, key: str, depth: int = 10) -> str:
    """Return a value with ``%(NAME)s`` of the section, of ``[DEFAULT]``, the file itself or the environment."""

    def one(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "%"
        if name.lower() in section and name.lower() != key and depth:
            return _value(path, section, name.lower(), depth - 1)
        value = {"here": str(path.parent), "__file__": str(path), **os.environ}.get(name)
        if value is None:
            raise ConfigurationError(
                f"{path}: [{section.name}] {key}: %({name})s is neither in the file nor in the environment"
            )
        return value

    return _VARIABLE.sub(one, section[key])


def _names(text: str) -> list[str]:
    return [name for name in (name.strip() for name in text.split(",")) if name]


def _logger(section: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"level": section.get("level", "NOTSET")}
    for key in ("handlers", "filters"):
        if _names(section.get(key, "")):
            found[key] = _names(section[key])
    if "propagate" in section:
        found["propagate"] = section["propagate"].strip() not in {"0", "false", "False"}
    return found


def _handler(path: Path, name: str, section: Mapping[str, str]) -> dict[str, Any]:
    place = f"{path}: [handler_{name}]"
    cls = section.get("class", "").strip()
    if not cls:
        raise ConfigurationError(f"{place} class: is missing")
    if not cls.startswith("logging.") and (("." not in cls) or hasattr(logging, cls.partition(".")[0])):
        cls = f"logging.{cls}"
    found: dict[str, Any] = {"class": cls}
    found |= {key: section[key].strip() for key in ("level", "formatter") if section.get(key, "").strip()}
    if _names(section.get("filters", "")):
        found["filters"] = _names(section["filters"])
    try:
        found |= _keywords(cls, section)
    except (SyntaxError, ValueError, TypeError, NameError, AttributeError, ImportError) as error:
        raise ConfigurationError(f"{place}: args and kwargs can't be read: {error}") from None
    return found


def _keywords(cls: str, section: Mapping[str, str]) -> dict[str, Any]:
    keywords: dict[str, Any] = ast.literal_eval(section.get("kwargs", "").strip() or "{}")
    if section.get("args", "").strip():
        # As fileConfig reads it: an expression, with the names of logging.
        positional = eval(section["args"], dict(vars(logging)))  # noqa: S307 # the file of the service's own
        given = inspect.signature(pkgutil.resolve_name(cls)).bind_partial(*positional)
        for key, value in given.arguments.items():
            keywords.setdefault(key, value)
    return keywords
