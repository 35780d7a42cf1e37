"""What a ``gunicorn.conf.py`` of c2cwsgiutils 6 asks: the ini file, its logging as a dict, and the environment."""

import ast
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
from c2c_logging import read_logging

_LOG = logging.getLogger(__name__)
_OPTIONS = ("--paste", "--paster")
_DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"
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
    sections = read_logging(path, os.environ)
    if sections is None:
        raise ConfigurationError(f"{path}: has no [loggers]: logging wants [loggers], [handlers] and [formatters]")
    loggers, handlers, formatters = (
        {name: _Section(path, f"{kind}_{name}", sections[f"{kind}_{name}"]) for name in _names(sections[group]["keys"])}
        for group, kind in (("loggers", "logger"), ("handlers", "handler"), ("formatters", "formatter"))
    )
    root = loggers.pop("root", None)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "root": root.logger() if root else {"level": "NOTSET"},
        "loggers": {one.values.get("qualname", name): one.logger() for name, one in loggers.items()},
        "handlers": {name: one.handler() for name, one in handlers.items()},
        "formatters": {
            name: {
                "format": one.values.get("format"),
                "datefmt": one.values.get("datefmt", _DATE_FORMAT),
                "class": one.values.get("class", "logging.Formatter"),
            }
            for name, one in formatters.items()
        },
    }


def _names(text: str) -> list[str]:
    return [name for name in (name.strip() for name in text.split(",")) if name]


class _Section:
    """A section of an ini file as ``dictConfig`` wants it."""

    def __init__(self, path: Path, name: str, values: Mapping[str, str]) -> None:
        self._place = f"{path}: [{name}]"
        self.values = {key: text.strip() for key, text in values.items() if text.strip()}

    def logger(self) -> dict[str, Any]:
        """Return what a logger's section says."""
        found = {"level": "NOTSET", **self._common("handlers", "filters")}
        if "propagate" in self.values:
            found["propagate"] = self.values["propagate"] not in {"0", "false", "False"}
        return found

    def handler(self) -> dict[str, Any]:
        """Return what a handler's section says."""
        cls = self.values.get("class")
        if not cls:
            raise ConfigurationError(f"{self._place} class: is missing")
        if not cls.startswith("logging.") and (("." not in cls) or hasattr(logging, cls.partition(".")[0])):
            cls = f"logging.{cls}"
        found = {"class": cls, **self._common("filters")}
        if "formatter" in self.values:
            found["formatter"] = self.values["formatter"]
        try:
            return found | self._keywords(cls)
        except (SyntaxError, ValueError, TypeError, NameError, AttributeError, ImportError) as error:
            raise ConfigurationError(f"{self._place}: args and kwargs can't be read: {error}") from None

    def _common(self, *lists: str) -> dict[str, Any]:
        found: dict[str, Any] = {key: _names(self.values[key]) for key in lists if key in self.values}
        if "level" in self.values:
            found["level"] = self.values["level"].upper()
            if not isinstance(logging.getLevelName(found["level"]), int):
                text = mask(self.values["level"])
                raise ConfigurationError(f"{self._place} level = {text}: is no level, such as INFO")
        return found

    def _keywords(self, cls: str) -> dict[str, Any]:
        keywords: dict[str, Any] = ast.literal_eval(self.values.get("kwargs", "{}"))
        if "args" in self.values:
            # As fileConfig reads it: an expression, with the names of logging.
            positional = eval(self.values["args"], dict(vars(logging)))  # noqa: S307 # the file of the service's own
            given = inspect.signature(pkgutil.resolve_name(cls)).bind_partial(*positional)
            for key, value in given.arguments.items():
                keywords.setdefault(key, value)
        return keywords
