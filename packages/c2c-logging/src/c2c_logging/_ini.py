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
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from c2c_broadcast import ConfigurationError, mask
from c2c_logging._settings import level_number

_NAME = re.compile(r"%(?:%|\(([^)]+)\)s|)")
_DEEPEST = 10
_GROUPS = {"loggers": "logger", "handlers": "handler", "formatters": "formatter"}
# What dictConfig takes from a handler's arguments for itself.
_OURS = frozenset({"class", "level", "formatter", "filters", "()", "."})
# What fileConfig looks for: other keys, of [DEFAULT] above all, may be as they like.
_READ = frozenset(
    {
        *("level", "handlers", "qualname", "propagate", "class", "args", "kwargs", "formatter", "target"),
        *("format", "datefmt", "style", "validate", "defaults"),
    }
)
# Of formatters, whose percent signs are for logging.
_RAW = frozenset({"format", "datefmt", "style", "validate", "defaults"})


def configure_logging(
    sections: Mapping[str, Mapping[str, str]],
    where: Callable[[str, str], str] = lambda section, key: f"[{section}] {key}",
) -> None:
    """Configure logging as the sections of an ini file say, all names in them replaced; existing loggers keep working.

    Args:
        sections: those of logging, by name, their keys in small letters
        where: says where a key of a section is, for errors

    Raises:
        ConfigurationError: They can't be followed; the message names section and key.
    """
    config = logging_config(sections, where)
    try:
        logging.config.dictConfig(config)
    except Exception as error:  # handlers are any class, with any arguments
        cause = error.__cause__ or error
        name = next((name for name in config["handlers"] if f"handler {name!r}" in str(error)), None)
        place = where(f"handler_{name}", "class") + ": " if name else ""
        raise ConfigurationError(f"{place}logging can't be set up: {_said(cause)}") from error


def logging_config(
    sections: Mapping[str, Mapping[str, str]],
    where: Callable[[str, str], str] = lambda section, key: f"[{section}] {key}",
) -> dict[str, Any]:
    """Return what ``dictConfig`` wants for the sections of an ini file; see ``configure_logging``."""
    config: dict[str, Any] = {"version": 1, "disable_existing_loggers": False}
    config["formatters"] = {key: _formatter(sections[f"formatter_{key}"]) for key in _keys(sections, "formatters")}
    config["handlers"] = {
        key: _handler(sections[f"handler_{key}"], f"handler_{key}", where) for key in _keys(sections, "handlers")
    }
    config["loggers"] = {}
    for key in _keys(sections, "loggers"):
        section = sections[f"logger_{key}"]
        made: dict[str, Any] = {"handlers": _names(section.get("handlers", ""))}
        if section.get("level"):
            made["level"] = section["level"]
        if key == "root":
            config["root"] = made
        else:
            made["propagate"] = section.get("propagate", "1").strip() not in ("0", "false", "False")
            config["loggers"][section.get("qualname") or key] = made
    if "root" not in config:
        raise ConfigurationError(f"{where('loggers', 'keys')}: has no root, which says what all other loggers do")
    return config


def _keys(sections: Mapping[str, Mapping[str, str]], group: str) -> list[str]:
    return _names(sections[group].get("keys", ""))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _formatter(section: Mapping[str, str]) -> dict[str, Any]:
    return {key: section[key] for key in ("format", "datefmt", "style", "class") if section.get(key)}


def _handler(section: Mapping[str, str], name: str, where: Callable[[str, str], str]) -> dict[str, Any]:
    made: dict[str, Any] = {key: section[key] for key in ("level", "formatter") if section.get(key)}
    kind = _class(section.get("class", "").strip(), where(name, "class"))
    args = _value_of(section.get("args") or "()", where(name, "args"))
    kwargs = _value_of(section.get("kwargs") or "{}", where(name, "kwargs"))
    if not isinstance(args, tuple | list) or not isinstance(kwargs, dict):
        raise ConfigurationError(f"{where(name, 'args')}: args must be a tuple, such as (sys.stdout,), kwargs a dict")
    named = _named(kind, args)
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
        near = get_close_matches(last, dir(module), 1)
        problem = f"there is no such class{f' (did you mean {near[0]}?)' if near else ''}"
    raise ConfigurationError(f"{place} = {name}: {problem}")


def _value_of(text: str, place: str) -> Any:
    try:
        return eval(text, vars(logging))  # noqa: S307 # as fileConfig does: an ini file is code
    except Exception as error:  # it is any expression
        raise ConfigurationError(f"{place}: logging can't be set up: {_said(error)}") from error


def _named(kind: Any, args: Any) -> dict[str, Any] | None:
    """Return arguments by name, None where a class takes them without."""
    try:
        parameters = inspect.signature(kind).parameters.values()
        names = [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    except (TypeError, ValueError):
        return None
    return dict(zip(names, args, strict=False)) if len(args) <= len(names) else None


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {mask(str(error).partition(chr(10))[0])}"


def read_logging(path: Path, environ: Mapping[str, str]) -> configparser.RawConfigParser | None:
    """Return the sections of logging with their values ready for ``configure_logging``, None without any.

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
            _check_level(path, ready[section])
    for one in ready.values():
        _check_names(path, one, "handlers", ready["handlers"])
        if one.name.startswith("handler_"):
            _check_names(path, one, "formatter", ready["formatters"])
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
