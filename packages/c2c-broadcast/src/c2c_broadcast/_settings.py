"""Settings: a frozen dataclass a package, read from the environment and the ini file, typed and checked once.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class HealthSettings:
        failure_status: int = setting(500, env="C2C_HEALTH_FAILURE_STATUS", key="c2c.health.failure_status",
                                      help="status of a failed report", minimum=400, maximum=599)

    settings = load(HealthSettings, config.get_settings())

The environment wins over the ini file; empty means unset; the type is the annotation's.
"""

import dataclasses
import os
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from c2c_broadcast._errors import ConfigurationError
from c2c_broadcast._mask import MASKED, mask
from c2c_broadcast._parse import Parser, parser_of

_METADATA = "c2c_setting"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Declaration:
    """What one field of a settings class declares: its names, its one line of help, and how it is read."""

    env: str | None
    key: str | None
    help: str
    aliases: tuple[str, ...] = ()
    secret: bool = False
    parse: Parser | None = None
    minimum: float | None = None
    maximum: float | None = None
    prefix: bool = False

    @property
    def names(self) -> str:
        """Both names, as an error shows them: ``C2C_SECRET (ini key c2c.secret)``."""
        if self.env and self.key:
            return f"{self.env} (ini key {self.key})"
        return self.env or self.key or "?"


@dataclass(frozen=True, slots=True)
class Resolved:
    """One setting as it came out: ``origin`` is ``environment``, ``ini`` or ``default``, ``source`` the name found."""

    name: str
    declaration: Declaration
    value: Any
    origin: str
    source: str

    @property
    def shown(self) -> str:
        """The value for people: secrets masked, nothing for none."""
        if self.value in (None, {}, ()):
            return ""
        return MASKED if self.declaration.secret else mask(str(self.value))


def setting(
    default: Any,
    *,
    env: str | None,
    key: str | None,
    help: str,  # noqa: A002 # the word of argparse and click
    aliases: tuple[str, ...] = (),
    secret: bool = False,
    parse: Callable[[str], Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """Declare one field of a settings class.

    ``env`` and ``key`` are its environment variable and ini key, ``aliases`` other ones of either kind (read after
    them); ``parse`` replaces the parser of the annotation and raises ValueError with a remedy; numbers are held to
    ``minimum`` and ``maximum``, both included.
    """
    declaration = Declaration(env, key, help, aliases, secret, parse, minimum, maximum)
    return dataclasses.field(default=default, metadata={_METADATA: declaration})


def family(*, env: str, key: str | None = None, help: str, secret: bool = False) -> Any:  # noqa: A002 # as in setting
    """Declare a dict of all variables that start with ``env`` and all ini keys that start with ``key``.

    The rest of the name, lower-cased, is the key in the dict: ``STATSD_TAG_Env=prod`` gives ``{"env": "prod"}``.
    """
    declaration = Declaration(env, key, help, secret=secret, prefix=True)
    return dataclasses.field(default_factory=dict, metadata={_METADATA: declaration})


def load(cls: type[_T], settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> _T:
    """Return an instance of the settings class ``cls`` from ini ``settings`` and environment.

    Raises:
        ConfigurationError: One or more values can't be read; every one of them is named in the message.
    """
    values: dict[str, Any] = {}
    errors: list[str] = []
    for outcome in _resolve(cls, settings, environ):
        if isinstance(outcome, Resolved):
            values[outcome.name] = outcome.value
        else:
            errors.append(outcome)
    if errors:
        raise ConfigurationError("; ".join(errors))
    return cls(**values)


def resolve(
    cls: type[Any], settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> list[Resolved | str]:
    """Return each setting of ``cls`` with where its value came from; a text (the error) for one that can't be read."""
    return list(_resolve(cls, settings, environ))


def declarations(cls: type[Any]) -> dict[str, tuple[Declaration, Any]]:
    """Return field name -> (declaration, default) of a settings class, in order: what a README's table must say."""
    found = {}
    for field in dataclasses.fields(cls):
        default = field.default if field.default is not dataclasses.MISSING else {}
        found[field.name] = (field.metadata[_METADATA], default)
    return found


def _resolve(cls: type[Any], settings: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Resolved | str]:
    hints = typing.get_type_hints(cls)
    for name, (declaration, default) in declarations(cls).items():
        if declaration.prefix:
            yield _resolve_family(name, declaration, settings, environ)
            continue
        found = _find(declaration, settings, environ)
        if found is None:
            yield Resolved(name, declaration, default, "default", "")
            continue
        origin, source, raw = found
        try:
            value = _checked(declaration, (declaration.parse or parser_of(hints[name]))(raw))
        except ValueError as error:
            shown = "its value (not shown, it is a secret)" if declaration.secret else repr(mask(str(raw)))
            why = "it can't be read" if declaration.secret else str(error)
            also = f", ini key {declaration.key}" if origin == "environment" and declaration.key else ""
            also = also or (f", environment {declaration.env}" if origin == "ini" and declaration.env else "")
            yield f"{origin} {source}{also}: {shown}: {why}"
        else:
            yield Resolved(name, declaration, value, origin, source)


def _find(
    declaration: Declaration, settings: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[str, str, Any] | None:
    """Find the first non-empty value: the environment's names first, then the ini's."""
    names = [name for name in (declaration.env, declaration.key, *declaration.aliases) if name]
    for origin, source in (("environment", environ), ("ini", settings)):
        for name in names:
            raw = source.get(name)
            if raw is not None and (not isinstance(raw, str) or raw.strip()):
                return origin, name, raw.strip() if isinstance(raw, str) else raw
    return None


def _resolve_family(
    name: str, declaration: Declaration, settings: Mapping[str, Any], environ: Mapping[str, str]
) -> Resolved:
    value: dict[str, str] = {}
    origin = "default"
    for where, source, prefix in (
        ("ini", settings, declaration.key),
        ("environment", environ, declaration.env),
    ):
        if not prefix:
            continue
        for full, raw in source.items():
            if full.startswith(prefix) and len(full) > len(prefix) and str(raw).strip():
                value[full[len(prefix) :].lower()] = str(raw).strip()
                origin = where
    return Resolved(name, declaration, value, origin, declaration.env or "" if value else "")


def _checked(declaration: Declaration, value: Any) -> Any:
    if declaration.minimum is not None and value is not None and value < declaration.minimum:
        raise ValueError(f"must be {declaration.minimum:g} or more")
    if declaration.maximum is not None and value is not None and value > declaration.maximum:
        raise ValueError(f"must be {declaration.maximum:g} or less")
    return value
