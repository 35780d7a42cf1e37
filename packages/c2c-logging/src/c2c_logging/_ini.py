"""The logging part of an ini file, with ``%(NAME)s`` for keys of the file and variables of the environment.

Names keep their case, and a percent sign in a variable is nothing but a percent sign. Handlers are given ``args``,
``kwargs`` or both; a text in them that begins with ``ext://`` or ``cfg://`` means what it means for ``dictConfig``.
"""

import configparser
import importlib
import inspect
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
from c2c_logging._values import said

_GROUPS = {"loggers": "logger", "handlers": "handler", "formatters": "formatter"}
# What dictConfig takes from a handler's arguments for itself.
_OURS = frozenset({"class", "level", "formatter", "filters", "()", "."})
# Of formatters, whose percent signs are for logging.
_RAW = frozenset({"format", "datefmt", "style", "validate", "defaults"})
# What is read: other keys, of [DEFAULT] above all, may be as they like.
_READ = _RAW | {"level", "handlers", "qualname", "propagate", "class", "args", "kwargs", "formatter", "target"}

Sections = Mapping[str, Mapping[str, str]]
Where = Callable[[str, str], str]


def configure_logging(sections: Sections, where: Where = lambda section, key: f"[{section}] {key}") -> None:
    """Configure logging as the sections of an ini file say, all names in them replaced; existing loggers keep working.

    Args:
        sections: those of logging, by name, their keys in small letters
        where: says where a key of a section is, for errors

    Raises:
        ConfigurationError: They can't be followed; the message names section and key.
    """
    config = _config(sections, where)
    try:
        logging.config.dictConfig(config)
    except Exception as error:  # handlers are any class, with any arguments
        cause = error.__cause__ or error
        name = next((name for name in config["handlers"] if f"handler {name!r}" in str(error)), None)
        place = where(f"handler_{name}", "class") + ": " if name else ""
        raise ConfigurationError(f"{place}logging can't be set up: {said(cause)}") from error


def _config(sections: Sections, where: Where) -> dict[str, Any]:
    """Return what ``dictConfig`` wants."""
    formatters, handlers, loggers = (
        _names(sections[group].get("keys", "")) for group in ("formatters", "handlers", "loggers")
    )
    config: dict[str, Any] = {"version": 1, "disable_existing_loggers": False, "loggers": {}}
    config["formatters"] = {
        key: {name: value for name, value in sections[f"formatter_{key}"].items() if value and name in _RAW | {"class"}}
        for key in formatters
    }
    config["handlers"] = {}
    for key in handlers:
        section = sections[f"handler_{key}"]
        _check(f"handler_{key}", section, "formatter", formatters, where)
        config["handlers"][key] = _handler(section, partial(where, f"handler_{key}"))
    for key in loggers:
        section = sections[f"logger_{key}"]
        _check(f"logger_{key}", section, "handlers", handlers, where)
        made: dict[str, Any] = {"handlers": _names(section.get("handlers", ""))}
        made |= _level(section, partial(where, f"logger_{key}"))
        if key == "root":
            config["root"] = made
        else:
            made["propagate"] = section.get("propagate", "1").strip() not in ("0", "false", "False")
            config["loggers"][section.get("qualname") or key] = made
    if "root" not in config:
        raise ConfigurationError(f"{where('loggers', 'keys')}: has no root, which says what all other loggers do")
    return config


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _check(name: str, section: Mapping[str, str], key: str, known: Collection[str], where: Where) -> None:
    """Say which section names a handler or formatter that its group does not have."""
    for one in _names(section.get(key, "")):
        if one not in known:
            group = "handlers" if key == "handlers" else "formatters"
            raise ConfigurationError(f"{where(name, key)}: {one!r} is not in [{group}] keys{_near(one, known)}")


def _near(name: str, known: Collection[str], cutoff: float = 0.6) -> str:
    near = get_close_matches(name, known, 1, cutoff)
    return f" (did you mean {near[0]}?)" if near else ""


def _level(section: Mapping[str, str], where: Callable[[str], str]) -> dict[str, str]:
    """Return the level of a section, in whatever letters it is."""
    level = section.get("level")
    if not level:
        return {}
    try:
        return {"level": logging.getLevelName(level_number(level))}
    except ValueError as error:
        raise ConfigurationError(f"{where('level')} = {mask(level)!r}: {error}") from None


def _handler(section: Mapping[str, str], where: Callable[[str], str]) -> dict[str, Any]:
    made: dict[str, Any] = _level(section, where)
    if section.get("formatter"):
        made["formatter"] = section["formatter"].strip()
    kind = _class(section.get("class", "").strip(), where("class"))
    args = _value_of(section.get("args") or "()", where("args"))
    kwargs = _value_of(section.get("kwargs") or "{}", where("kwargs"))
    if not isinstance(args, tuple | list) or not isinstance(kwargs, dict):
        raise ConfigurationError(f"{where('args')}: args must be a tuple, such as (sys.stdout,), kwargs a dict")
    named = _by_name(kind, args)
    if named is not None and not set(named) & set(kwargs):
        kwargs, args = {**named, **kwargs}, ()
    if section.get("target") and issubclass(kind, logging.handlers.MemoryHandler):
        kwargs["target"] = section["target"].strip()
    if not args and not _OURS & set(kwargs):
        return {**made, "class": f"{kind.__module__}.{kind.__qualname__}", **kwargs}
    convert = logging.config.DictConfigurator({"version": 1}).convert
    given = {key: convert(value) for key, value in kwargs.items()}
    return {**made, "()": partial(kind, *map(convert, args), **given)}


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


def _value_of(text: str, place: str) -> Any:
    try:
        return eval(text, vars(logging))  # noqa: S307 # as fileConfig does: an ini file is code
    except Exception as error:  # it is any expression
        raise ConfigurationError(f"{place}: logging can't be set up: {said(error)}") from error


def _by_name(kind: Any, args: Any) -> dict[str, Any] | None:
    """Return arguments by name, None where a class takes them without."""
    try:
        parameters = inspect.signature(kind).parameters.values()
        names = [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    except (TypeError, ValueError):
        return None
    return dict(zip(names, args, strict=False)) if len(args) <= len(names) else None


def read_logging(path: Path, environ: Mapping[str, str]) -> Sections | None:
    """Return the sections of logging with their values ready for ``configure_logging``, None without any.

    Raises:
        ConfigurationError: The file can't be read, or one of those sections can't be followed; the message has file,
            section, key and remedy.
    """
    found = configparser.RawConfigParser()
    found.optionxform = lambda optionstr: optionstr  # type: ignore[method-assign] # as its documentation says
    try:
        found.read_string(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: can't be read: {error}") from None
    except configparser.Error as error:
        raise ConfigurationError(mask(str(error).replace("\n", " "))) from None
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
    """Return ``file:line: [section] key``, the line left out where it is not found."""
    current = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("["):
            current = line[1:].split("]")[0]
        elif current == section and re.match(rf"{re.escape(key)}\s*[=:]", line, re.IGNORECASE):
            return f"{path}:{number}: [{section}] {key}"
    return f"{path}: [{section}] {key}"


def _value(path: Path, section: configparser.SectionProxy, key: str, environ: Mapping[str, str]) -> str:
    """Return a value, the names in it replaced: by the file's keys, else by the environment."""
    names = {name: text.replace("%", "%%") for name, text in environ.items()}
    # What NAME = %(NAME)s means is the environment's.
    names |= {name: text.replace(f"%({name})s", names.get(name, f"%({name})s")) for name, text in section.items()}
    text = names.pop(key)
    try:
        return configparser.BasicInterpolation().before_get(section.parser, section.name, key, text, names)
    except configparser.InterpolationMissingOptionError as error:
        hint = _near(error.reference, names, 0.8)
        problem = f"%({error.reference})s is neither in the file nor in the environment{hint}"
    except configparser.InterpolationDepthError:
        problem = "its variables refer to each other"
    except configparser.InterpolationSyntaxError:
        problem = "a % that begins no %(NAME)s: write %% for a percent sign"
    raise ConfigurationError(f"{path}: [{section.name}] {key}: {problem}")
