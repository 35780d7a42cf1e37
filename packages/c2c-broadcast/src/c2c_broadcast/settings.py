"""Settings: a frozen dataclass a package, read from the environment and the ini file, typed and checked once.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class HealthSettings:
        failure_status: int = setting(500, env="C2C_HEALTH_FAILURE_STATUS", key="c2c.health.failure_status",
                                      help="status of a failed report", minimum=400, maximum=599)

    settings = load(HealthSettings, config.get_settings())

The environment wins over the ini file; empty means unset; the type is the annotation's.
"""

import dataclasses
import difflib
import importlib.metadata
import importlib.util
import logging
import math
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from c2c_broadcast._errors import ConfigurationError
from c2c_broadcast.secrets import MASKED, mask

_LOG = logging.getLogger(__name__)

Parser = Callable[[Any], Any]

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


_LOADED: set[type[Any]] = set()
# As near as two letters that changed places in a name of ten.
_NEAR = 0.88
_SHORTEST_NAME = 8


def load(cls: type[_T], settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> _T:
    """Return an instance of the settings class ``cls`` from ini ``settings`` and environment.

    Raises:
        ConfigurationError: One or more values can't be read; every one of them is named in the message.
    """
    _LOADED.add(cls)
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


# -- from a text to a type ---------------------------------------------------------------------------------------------

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


def parse_bool(raw: Any) -> bool:
    """Read ``true t yes y on 1`` or ``false f no n off 0``, any case; anything else is a ValueError."""
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("is neither true (true t yes y on 1) nor false (false f no n off 0)")


def parse_int(raw: Any) -> int:
    """Read a whole number; anything else is a ValueError."""
    if isinstance(raw, int):
        return int(raw)
    try:
        return int(str(raw))
    except ValueError:
        raise ValueError("is not a whole number") from None


def parse_float(raw: Any) -> float:
    """Read a finite number; anything else, NaN and infinity too, is a ValueError."""
    try:
        value = float(raw)
    except (TypeError, ValueError):
        raise ValueError("is not a number") from None
    if not math.isfinite(value):
        raise ValueError("is not a finite number")
    return value


def parse_list(raw: Any) -> tuple[str, ...]:
    """Read texts separated by commas or white space; empty ones are left out."""
    if isinstance(raw, list | tuple | set | frozenset):
        return tuple(str(item) for item in raw)
    return tuple(str(raw).replace(",", " ").split())


def parser_of(annotation: Any) -> Parser:
    """Return the parser for an annotation.

    ``bool``, ``int``, ``float``, ``str``, ``tuple[str, ...]``, ``Literal[...]``, and ``X | None`` of these.

    Raises:
        TypeError: The annotation is none of these: give the setting a ``parse`` of its own.
    """
    if annotation in _PARSERS:
        return _PARSERS[annotation]
    origin = typing.get_origin(annotation)
    if origin in {types.UnionType, typing.Union}:
        rest = [one for one in typing.get_args(annotation) if one is not types.NoneType]
        if len(rest) == 1:
            return parser_of(rest[0])
    if origin is typing.Literal:
        return _one_of(tuple(str(choice) for choice in typing.get_args(annotation)))
    raise TypeError(f"no parser for {annotation}: give setting(..., parse=) one")


def _one_of(choices: tuple[str, ...]) -> Parser:
    def parse(raw: Any) -> str:
        word = str(raw).strip().lower()
        if word not in choices:
            raise ValueError(f"is none of {', '.join(choices)}")
        return word

    return parse


_PARSERS: dict[Any, Parser] = {
    bool: parse_bool,
    int: parse_int,
    float: parse_float,
    str: str,
    tuple[str, ...]: parse_list,
}


# -- the base's own settings -------------------------------------------------------------------------------------------

RETIRED = {
    "C2C_REDIS_TIMEOUT": "use C2C_REDIS_OPTIONS=socket_timeout=3",
    "C2CWSGI_LOG_LEVEL": "set the level of the c2c loggers in the ini file, or LOG_LEVEL where there is none",
}
"""Variables that deployments still set and nothing reads: name -> what to do instead."""


# Nothing that is a variable in a pattern of Pyramid's, or has to be quoted in a URL.
_PLAIN_PATH = re.compile(r"(?:/[\w.~-]+)+", re.ASCII)
# Text even where it looks like something else: a password may be 0123.
_TEXTS = frozenset({"username", "password"})


def _base_path(raw: str) -> str:
    path = "/" + raw.strip("/")
    if not _PLAIN_PATH.fullmatch(path):
        raise ValueError("must be a plain path, such as /c2c")
    return path


def _redis_url(raw: str) -> str:
    url = raw if "://" in raw else f"redis://{raw}"
    scheme, _, rest = url.partition("://")
    if scheme not in {"redis", "rediss", "unix"} or not rest.strip("/"):
        raise ValueError(
            "must look like redis://host:6379/0, rediss://host:6379/0, unix:///path/redis.sock or host:6379"
        )
    return url


def _redis_options(raw: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(raw, Mapping):
        return dict(raw)
    options: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in raw.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ValueError("must look like socket_timeout=3,ssl=true")
        options[name.strip()] = value.strip() if name.strip() in _TEXTS else _scalar(value.strip())
    return options


def _scalar(text: str) -> int | float | bool | str | None:
    words: dict[str, bool | None] = {"true": True, "false": False, "null": None, "none": None, "": None}
    if text.lower() in words:
        return words[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _sentinels(raw: str) -> tuple[tuple[str, int], ...]:
    found = []
    for part in filter(None, (part.strip() for part in raw.split(","))):
        host, _, port = part.rpartition(":")
        if not host or not port.isdecimal() or int(port) not in range(1, 65536):
            raise ValueError("must look like host:26379,host:26379")
        found.append((host.strip("[]"), int(port)))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastSettings:
    """What the base reads: where the operator views are, who may see them, and the Redis that joins the processes."""

    base_path: str = setting(
        "/c2c",
        env="C2C_BASE_PATH",
        key="c2c.base_path",
        parse=_base_path,
        help="root of all operator views; the application's `route_prefix` comes before it",
    )
    secret: str | None = setting(
        None, env="C2C_SECRET", key="c2c.secret", secret=True, help="the operators' shared secret"
    )
    redis_url: str | None = setting(
        None,
        env="C2C_REDIS_URL",
        key="c2c.redis_url",
        parse=_redis_url,
        help="`redis://`, `rediss://`, `unix://`; a bare `host:port` is read as `redis://host:port`",
    )
    redis_options: dict[str, Any] | None = setting(
        None,
        env="C2C_REDIS_OPTIONS",
        key="c2c.redis_options",
        parse=_redis_options,
        help="options of the connection, such as `socket_timeout=3,ssl=true`",
    )
    redis_sentinels: tuple[tuple[str, int], ...] = setting(
        (),
        env="C2C_REDIS_SENTINELS",
        key="c2c.redis_sentinels",
        parse=_sentinels,
        help="`host:port,host:port`",
    )
    redis_servicename: str | None = setting(
        None,
        env="C2C_REDIS_SERVICENAME",
        key="c2c.redis_servicename",
        help="with sentinels: the service's name",
    )
    redis_db: int = setting(
        0, env="C2C_REDIS_DB", key="c2c.redis_db", minimum=0, help="with sentinels: the database's number"
    )
    redis_sentinel_options: dict[str, Any] | None = setting(
        None,
        env="C2C_REDIS_SENTINEL_OPTIONS",
        key="c2c.redis_sentinel_options",
        parse=_redis_options,
        help="options of the connections to the sentinels themselves, such as `username=me,password=secret,ssl=true`",
    )
    broadcast_prefix: str = setting(
        "broadcast_api_",
        env="C2C_BROADCAST_PREFIX",
        key="c2c.broadcast_prefix",
        help="must differ between two services on one Redis",
    )


SETTINGS = "c2c_broadcast.settings"


def settings_of(registry: Any) -> BroadcastSettings:
    """Return the base's settings of an application that included it."""
    settings: BroadcastSettings = registry[SETTINGS]
    return settings


# -- names that nothing reads ---------------------------------------------------------------------------------------


def warn_of_retired(environ: Mapping[str, str] = os.environ) -> None:
    """Name, in one warning, the retired variables that are still set."""
    found = [f"{name} ({remedy})" for name, remedy in RETIRED.items() if environ.get(name, "").strip()]
    if found:
        _LOG.warning("Retired settings that nothing reads any more: %s", "; ".join(found))


def misspelt(
    classes: Iterable[type[Any]], settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return variables and ini keys that are nearly one that ``classes`` declare, and are none: name -> that one."""
    declared = [declaration for cls in classes for declaration, _ in declarations(cls).values()]
    names = {name for one in declared for name in (one.env, one.key, *one.aliases) if name}
    prefixes = tuple(name for one in declared if one.prefix for name in (one.env, one.key) if name)
    found: dict[str, str] = {}
    for name in sorted({*environ, *settings}):
        if len(name) < _SHORTEST_NAME or name in names or name in RETIRED or name.startswith(prefixes):
            continue
        alike = [one for one in names if one.isupper() == name.isupper()]
        near = difflib.get_close_matches(name, alike, 1, _NEAR) or difflib.get_close_matches(
            name.upper(), [one for one in names if one.isupper()], 1, 1.0
        )
        if near and not _elsewhere(name):
            found[name] = near[0]
    return found


def _elsewhere(name: str) -> bool:
    """Tell whether a package of ours that is installed, and not imported here, declares the name."""
    roots = {point.module.partition(".")[0] for point in importlib.metadata.entry_points(group="c2c.settings")}
    for root in sorted(roots):
        spec = importlib.util.find_spec(root)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if any(f'"{name}"' in file.read_text("utf-8", "replace") for file in Path(folder).rglob("*.py")):
                return True
    return False


def warn_of_names(settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> None:
    """Name, in one warning, what is set and nearly a setting, once all settings of the application are loaded."""
    found = misspelt(_LOADED, settings, environ)
    if found:
        _LOG.warning(
            "Settings that nothing reads: %s", "; ".join(f"{name} (is it {near}?)" for name, near in found.items())
        )
