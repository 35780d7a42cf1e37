"""The logging part of an ini file, with ``%(NAME)s`` for keys of the file and variables of the environment.

Names keep their case, and a percent sign in a variable is nothing but a percent sign.
"""

import configparser
import importlib
import logging
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from c2c_broadcast import ConfigurationError, mask
from c2c_logging._settings import level_number

_NAME = re.compile(r"%(?:%|\(([^)]+)\)s|)")
_DEEPEST = 10
_GROUPS = {"loggers": "logger", "handlers": "handler", "formatters": "formatter"}
# What fileConfig looks for: other keys, of [DEFAULT] above all, may be as they like.
_READ = frozenset(
    {
        *("level", "handlers", "qualname", "propagate", "class", "args", "kwargs", "formatter", "target"),
        *("format", "datefmt", "style", "validate", "defaults"),
    }
)
# Of formatters, whose percent signs are for logging.
_RAW = frozenset({"format", "datefmt", "style", "validate", "defaults"})


def read_logging(path: Path, environ: Mapping[str, str]) -> configparser.RawConfigParser | None:
    """Return the sections of logging with their values ready for ``logging.config.fileConfig``, None without any.

    Raises:
        ConfigurationError: The file can't be read, or one of those sections can't be followed; the message has file,
            section, key and remedy.
    """
    found = _parse(path)
    if "loggers" not in found:
        return None
    names = {**environ, "here": str(path.parent), "__file__": str(path)}
    ready = configparser.RawConfigParser()
    for group, prefix in _GROUPS.items():
        if group not in found:
            raise ConfigurationError(f"{path}: [{group}] is missing: logging wants [loggers], [handlers], [formatters]")
        keys = _value(path, found, group, "keys", names) if "keys" in found[group] else ""
        ready[group] = {"keys": keys}
        for key in filter(None, (key.strip() for key in keys.split(","))):
            section = f"{prefix}_{key}"
            if section not in found:
                raise ConfigurationError(f"{path}: [{section}] is missing: [{group}] names it")
            ready[section] = {
                option.lower(): found[section][option]
                if prefix == "formatter" and option in _RAW
                else _value(path, found, section, option, names)
                for option in found[section]
                if option.lower() in _READ
            }
            if prefix == "handler":
                _check_class(path, section, ready[section].get("class", ""))
            _check_level(path, ready[section])
    for one in ready.values():
        _check_names(path, one, "handlers", ready["handlers"])
        if one.name.startswith("handler_"):
            _check_names(path, one, "formatter", ready["formatters"])
    return ready


def _parse(path: Path) -> configparser.RawConfigParser:
    found = configparser.RawConfigParser()
    found.optionxform = lambda optionstr: optionstr  # type: ignore[method-assign] # as its documentation says
    try:
        found.read_string(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: can't be read: {error}") from None
    except configparser.Error as error:
        raise ConfigurationError(mask(str(error).replace("\n", " "))) from None
    return found


def _value(
    path: Path, found: configparser.RawConfigParser, section: str, option: str, environ: Mapping[str, str]
) -> str:
    def expand(text: str, depth: int, inside: str) -> str:
        if depth > _DEEPEST:
            raise ConfigurationError(f"{path}: [{section}] {option}: its variables refer to each other")

        def one(match: re.Match[str]) -> str:
            if match[0] == "%%":
                return "%"
            name = match[1]
            if name is None:
                raise ConfigurationError(
                    f"{path}: [{section}] {option}: a % that begins no %(NAME)s: write %% for a percent sign"
                )
            if name != inside and name in found[section]:
                return expand(found[section][name], depth + 1, name)
            if name in environ:
                return environ[name]
            near = get_close_matches(name, environ, 1, 0.8)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ConfigurationError(
                f"{path}: [{section}] {option}: %({name})s is neither in the file nor in the environment{hint}"
            )

        return _NAME.sub(one, text)

    return expand(found[section][option], 0, option)


def _check_level(path: Path, section: configparser.SectionProxy) -> None:
    """Say which section has a level that is none; take one in small letters for what it means."""
    level = section.get("level")
    if level is not None:
        try:
            section["level"] = logging.getLevelName(level_number(level))
        except ValueError as error:
            raise ConfigurationError(f"{path}: [{section.name}] level = {mask(level)!r}: {error}") from None


def _check_names(path: Path, section: configparser.SectionProxy, option: str, group: configparser.SectionProxy) -> None:
    """Say which section names a handler or formatter that its group does not have."""
    known = [name.strip() for name in group["keys"].split(",")]
    for name in filter(None, (name.strip() for name in section.get(option, "").split(","))):
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ConfigurationError(f"{path}: [{section.name}] {option}: {name!r} is not in [{group.name}] keys{hint}")


def _check_class(path: Path, section: str, name: str) -> None:
    """Say clearly what ``fileConfig`` says in many ways: there is no such class."""
    module_name, _, class_name = name.strip().rpartition(".")
    place = f"{path}: [{section}] class = {name}"
    module: object = logging
    if module_name:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            if not hasattr(logging, module_name.partition(".")[0]):
                raise ConfigurationError(f"{place}: can't be imported: {error}") from None
            return  # handlers.SysLogHandler: fileConfig looks inside of logging
    if not hasattr(module, class_name):
        near = get_close_matches(class_name, dir(module), 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigurationError(f"{place}: there is no such class{hint}")
