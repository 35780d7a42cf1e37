"""Ini files whose values may use the environment: ``%(NAME)s``. Standard library only, for c2c-run starts with it.

A name is looked up exactly as it is written, first in the file (the key's section, then ``[DEFAULT]``), then in the
environment. What comes from the environment arrives as it is, percent signs included, and is never a setting by itself:
it takes no part in ``items()`` and ``defaults()``.
"""

import configparser
import difflib
import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import cast

_VARIABLE = re.compile(r"%%|%\(([^()]+)\)s")


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
    """

    def __init__(self, path: str | Path, environ: Mapping[str, str] = os.environ) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, `here` must not
        super().__init__(interpolation=_Interpolation(self.path, environ))
        here = {"here": str(self.path.parent), "__file__": str(self.path)}
        self.read_dict({"DEFAULT": {name: escape(value) for name, value in here.items()}})
        self._load()

    def optionxform(self, optionstr: str) -> str:
        """Keep the case of a key."""
        return optionstr

    def defaults(self) -> dict[str, str]:
        """Return a copy of ``[DEFAULT]``, interpolated, as PasteDeploy wants it."""
        return {name: self.get("DEFAULT", name) for name in super().defaults()}

    def add_defaults(self, values: Mapping[str, str], *, overwrite: bool) -> None:
        """Add keys to ``[DEFAULT]``, which may use ``%(NAME)s`` like those of the file."""
        defaults = cast("dict[str, str]", super().defaults())
        for name, value in values.items():
            if overwrite or name not in defaults:
                defaults[name] = value

    def _load(self) -> None:
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


def escape(value: str) -> str:
    """Return a value that interpolation gives back as it was."""
    return value.replace("%", "%%")


def locate(path: Path, section: str, key: str) -> str:
    """Return ``file:line: [section] key``, the line left out when it is not found."""
    current, found = "", {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("["):
            current = line[1:].split("]")[0]
        elif re.match(re.escape(key) + r"\s*[=:]", line):
            found[current] = number
    if section not in found and "DEFAULT" in found:
        section = "DEFAULT"
    line = f":{found[section]}" if section in found else ""
    return f"{path}{line}: [{section}] {key}"


class _Interpolation(configparser.BasicInterpolation):
    """``%(NAME)s`` from the file, then from the environment."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ

    def before_get(
        self,
        parser: MutableMapping[str, Mapping[str, str]],
        section: str,
        option: str,
        value: str,
        defaults: Mapping[str, str],
    ) -> str:
        """Return ``value`` with its names replaced; IniError names the one that is not defined."""
        names = _Names(defaults, self._environ)
        try:
            return super().before_get(parser, section, option, names.settle(option, value), names)
        except configparser.InterpolationMissingOptionError as error:
            problem = _undefined(str(error.reference), names)
        except configparser.InterpolationDepthError:
            problem = "refers to itself"
        except configparser.InterpolationSyntaxError:
            problem = "has a % that begins no %(NAME)s: write %% for a percent sign"
        raise IniError(f"{locate(self._path, section, option)}: {problem}")


class _Names(Mapping[str, str]):
    """What a name means: the file's keys, then the environment."""

    def __init__(self, keys: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._keys = keys
        self._environ = environ

    def settle(self, name: str, value: str) -> str:
        """Give ``NAME = %(NAME)s`` its only sense: the environment's."""
        if name in self._environ and f"%({name})s" in value:
            return _VARIABLE.sub(lambda m: escape(self._environ[name]) if m[1] == name else m[0], value)
        return value

    def __getitem__(self, name: str) -> str:
        if name in self._keys:
            return self.settle(name, self._keys[name])
        return escape(self._environ[name])

    def __iter__(self) -> Iterator[str]:
        yield from {**self._environ, **self._keys}

    def __len__(self) -> int:
        return len({**self._environ, **self._keys})


def _undefined(name: str, names: Mapping[str, str]) -> str:
    folded = {other.lower(): other for other in names}
    near = difflib.get_close_matches(name.lower(), folded, 1, 0.8)
    hint = f" (did you mean {folded[near[0]]}?)" if near else ""
    return f"uses %({name})s, which is defined neither in the file nor in the environment{hint}: set {name}"


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
