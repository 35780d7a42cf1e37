"""The logging part of an ini file, with ``%(NAME)s`` for keys of the file and variables of the environment.

Names keep their case, and a percent sign in a variable is nothing but a percent sign. Handlers are given ``args``,
``kwargs`` or both; a text in them that begins with ``ext://`` or ``cfg://`` means what it means for ``dictConfig``.
"""

import configparser
import importlib
import logging
import logging.config
import logging.handlers
import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from c2c_broadcast import ConfigurationError, mask
from c2c_logging._settings import level_number
from c2c_logging._texts import said

_GROUPS = {"loggers": "logger", "handlers": "handler", "formatters": "formatter"}
# Of formatters, whose percent signs are for logging.
_RAW = frozenset({"format", "datefmt", "style", "validate", "defaults"})
# What is read: other keys, of [DEFAULT] above all, may be as they like.
_READ = _RAW | {"level", "handlers", "qualname", "propagate", "class", "args", "kwargs", "formatter", "filters"}

Sections = Mapping[str, Mapping[str, str]]


def configure_logging(path: Path, environ: Mapping[str, str]) -> bool:
    """Configure logging as an ini file says, and return whether it says anything; existing loggers keep working.

    Raises:
        ConfigurationError: It can't be followed; the message names file, line, section and key.
    """
    sections, where = read_logging(path, environ), partial(locate, path)
    if sections is None:
        return False
    loggers, handlers, formatters = (_names(sections[group].get("keys", "")) for group in _GROUPS)
    config: dict[str, Any] = {"version": 1, "disable_existing_loggers": False, "loggers": {}, "handlers": {}}
    config["formatters"] = {
        key: {name: value for name, value in sections[f"formatter_{key}"].items() if value and name in _RAW | {"class"}}
        for key in formatters
    }
    for key in handlers:
        section, place = sections[f"handler_{key}"], partial(where, f"handler_{key}")
        kind = _class(section.get("class", "").strip(), place("class"))
        made: dict[str, Any] = {"()": partial(_handler, kind, section, place), **_level(section, place)}
        _check(section, "formatter", formatters, place)
        if section.get("formatter"):
            made["formatter"] = section["formatter"].strip()
        config["handlers"][key] = made
    for key in loggers:
        section, place = sections[f"logger_{key}"], partial(where, f"logger_{key}")
        _check(section, "handlers", handlers, place)
        logger: dict[str, Any] = {"handlers": _names(section.get("handlers", "")), **_level(section, place)}
        if key == "root":
            config["root"] = logger
        else:
            logger["propagate"] = section.get("propagate", "1").strip() not in ("0", "false", "False")
            config["loggers"][section.get("qualname") or key] = logger
    if "root" not in config:
        raise ConfigurationError(f"{where('loggers', 'keys')}: has no root, which says what all other loggers do")
    try:
        logging.config.dictConfig(config)
    except Exception as error:  # formatters, too, are any class
        if isinstance(error.__cause__, ConfigurationError):
            raise error.__cause__ from None
        why = f" ({said(error.__cause__)})" if error.__cause__ else ""
        raise ConfigurationError(f"logging can't be set up: {said(error)}{why}") from error
    return True


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _check(section: Mapping[str, str], key: str, known: Collection[str], where: Callable[[str], str]) -> None:
    """Say which section names a handler or formatter that its group does not have."""
    for one in _names(section.get(key, "")):
        if one not in known:
            group = f"{key.removesuffix('s')}s"
            raise ConfigurationError(f"{where(key)}: {one!r} is not in [{group}] keys{_near(one, known)}")


def _near(name: str, known: Collection[str], cutoff: float = 0.6) -> str:
    near = get_close_matches(name, known, 1, cutoff)
    return f" (did you mean {near[0]}?)" if near else ""


def _level(section: Mapping[str, str], where: Callable[[str], str]) -> dict[str, Any]:
    """Return the level of a section, in whatever letters it is."""
    level = section.get("level")
    try:
        return {"level": level_number(level)} if level else {}
    except ValueError as error:
        raise ConfigurationError(f"{where('level')} = {mask(str(level))!r}: {error}") from None


def _handler(kind: Any, section: Mapping[str, str], where: Callable[[str], str]) -> Any:
    """Make a handler, as ``fileConfig`` does: an ini file is code."""
    try:
        args = eval(section.get("args") or "()", vars(logging))  # noqa: S307
        kwargs = eval(section.get("kwargs") or "{}", vars(logging))  # noqa: S307
        if not isinstance(args, tuple | list) or not isinstance(kwargs, dict):
            raise TypeError("args must be a tuple, such as (sys.stdout,), kwargs a dict")  # noqa: TRY301
        convert = logging.config.DictConfigurator({"version": 1}).convert
        return kind(*map(convert, args), **{key: convert(value) for key, value in kwargs.items()})
    except Exception as error:  # any expression, any class
        raise ConfigurationError(f"{where('args')}: logging can't be set up: {said(error)}") from error


def _class(name: str, place: str) -> Any:
    """Return the class that a handler names: a place of logging, as for ``fileConfig``, or of any module."""
    for module_name in (f"logging.{name}".rpartition(".")[0], name.rpartition(".")[0]):
        try:
            module = importlib.import_module(module_name or "logging")
        except ImportError as error:
            problem = f"can't be imported: {error}"
            continue
        last = name.rpartition(".")[2]
        found = getattr(module, last, None)
        if isinstance(found, type):
            return found
        problem = f"there is no such class{_near(last, dir(module))}"
    raise ConfigurationError(f"{place} = {name}: {problem}")


def read_logging(path: Path, environ: Mapping[str, str]) -> Sections | None:
    """Return the sections of logging, names replaced, keys in small letters; None where the file has no ``[loggers]``.

    Raises:
        ConfigurationError: The file can't be read, a section is missing, or a name is not defined.
    """
    found = configparser.RawConfigParser()
    found.optionxform = lambda optionstr: optionstr  # type: ignore[method-assign] # as its documentation says
    try:
        found.read_string(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        text = getattr(error, "strerror", None) or str(error).replace("\n", " ")
        raise ConfigurationError(mask(f"{path}: can't be read: {text}")) from None
    if "loggers" not in found:
        return None
    names = {**environ, "here": str(path.parent), "__file__": str(path)}
    ready: dict[str, dict[str, str]] = {}
    for group, prefix in _GROUPS.items():
        if group not in found:
            raise ConfigurationError(f"{path}: [{group}] is missing: logging wants [loggers], [handlers], [formatters]")
        ready[group] = {"keys": _value(path, found[group], "keys", names) if "keys" in found[group] else ""}
        for key in _names(ready[group]["keys"]):
            if f"{prefix}_{key}" not in found:
                raise ConfigurationError(f"{path}: [{prefix}_{key}] is missing: [{group}] names it")
            section = found[f"{prefix}_{key}"]
            ready[section.name] = {
                name.lower(): section[name]
                if prefix == "formatter" and name in _RAW
                else _value(path, section, name, names)
                for name in section
                if name.lower() in _READ
            }
    return ready


def locate(path: Path, section: str, key: str) -> str:
    """Return ``file:line: [section] key``; without the line where it is not found."""
    current, found = "", {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("["):
            current = line[1:].split("]")[0]
        elif re.match(rf"{re.escape(key)}\s*[=:]", line, re.IGNORECASE):
            found[current] = number
    if section not in found and "DEFAULT" in found:
        section = "DEFAULT"
    line = f":{found[section]}" if section in found else ""
    return f"{path}{line}: [{section}] {key}"


def _value(path: Path, section: configparser.SectionProxy, key: str, environ: Mapping[str, str]) -> str:
    """Return a value, the names in it replaced: by the file's keys, else by the environment."""
    names = {name: text.replace("%", "%%") for name, text in environ.items()}
    # What NAME = %(NAME)s means is the environment's.
    names |= {name: text.replace(f"%({name})s", names.get(name, f"%({name})s")) for name, text in section.items()}
    text = names.pop(key)
    try:
        return configparser.BasicInterpolation().before_get(section.parser, section.name, key, text, names)
    except configparser.InterpolationMissingOptionError as error:
        uses = f"uses %({error.reference})s, which is defined neither in the file nor in the environment"
        problem = f"{uses}{_near(error.reference, names, 0.8)}: set {error.reference}"
    except configparser.InterpolationError:
        problem = "a % that begins no %(NAME)s (write %% for a percent sign), or names that refer to each other"
    raise ConfigurationError(f"{locate(path, section.name, key)}: {problem}")
