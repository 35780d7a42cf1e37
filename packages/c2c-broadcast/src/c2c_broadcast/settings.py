"""Settings: a frozen dataclass a package, read from the environment and the ini file, typed and checked once.

The environment wins over the ini file; empty means unset; the type is the annotation's.
"""

import contextlib
import dataclasses
import difflib
import hashlib
import importlib.metadata
import importlib.util
import logging
import math
import os
import re
import types
import typing
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from c2c_broadcast._errors import ConfigurationError
from c2c_broadcast.process import service_folder
from c2c_broadcast.secrets import MASKED, mask

_LOG = logging.getLogger(__name__)

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
    parse: Callable[[Any], Any] | None = None
    minimum: float | None = None
    maximum: float | None = None
    prefix: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Its variables and ini keys."""
        return tuple(name for name in (self.env, self.key, *self.aliases) if name)


@dataclass(frozen=True, slots=True)
class Resolved:
    """One setting as it came out: ``origin`` is ``environment``, ``ini`` or ``default``, ``source`` the name found.

    ``error`` says why the value can't be read, which is then the default.
    """

    name: str
    declaration: Declaration
    value: Any
    origin: str = "default"
    source: str = ""
    error: str = ""

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


def family(*, env: str, key: str | None = None, help: str) -> Any:  # noqa: A002 # as in setting
    """Declare a dict of all variables that start with ``env`` and all ini keys that start with ``key``.

    The rest of the name, lower-cased, is the key in the dict: ``STATSD_TAG_Env=prod`` gives ``{"env": "prod"}``.
    """
    declaration = Declaration(env, key, help, prefix=True)
    return dataclasses.field(default_factory=dict, metadata={_METADATA: declaration})


def declarations(cls: type[Any]) -> dict[str, tuple[Declaration, Any]]:
    """Return field name -> (declaration, default) of a settings class, in order: what a README's table must say."""
    return {
        field.name: (field.metadata[_METADATA], {} if field.default is dataclasses.MISSING else field.default)
        for field in dataclasses.fields(cls)
    }


_LOADED: set[type[Any]] = set()


def load(cls: type[_T], settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> _T:
    """Return an instance of the settings class ``cls`` from ini ``settings`` and environment.

    Raises:
        ConfigurationError: One or more values can't be read; every one of them is named in the message.
    """
    _LOADED.add(cls)
    found = resolve(cls, settings, environ)
    if errors := [one.error for one in found if one.error]:
        raise ConfigurationError("; ".join(errors))
    return cls(**{one.name: one.value for one in found})


def resolve(cls: type[Any], settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> list[Resolved]:
    """Return each setting of ``cls`` with where its value came from."""
    hints = typing.get_type_hints(cls)
    found = []
    for name, (declaration, default) in declarations(cls).items():
        if declaration.prefix:
            found.append(_family(name, declaration, settings, environ))
            continue
        given = (
            (origin, source, raw.strip() if isinstance(raw, str) else raw)
            for origin, values in (("environment", environ), ("ini", settings))
            for source in declaration.names
            if (raw := values.get(source)) is not None and (not isinstance(raw, str) or raw.strip())
        )
        origin, source, raw = next(given, ("default", "", None))
        if origin == "default":
            found.append(Resolved(name, declaration, default))
            continue
        try:
            value = declaration.parse(raw) if declaration.parse else _read(hints[name], raw)
            _check_range(declaration, value)
            found.append(Resolved(name, declaration, value, origin, source))
        except ValueError as error:
            shown, why = repr(mask(str(raw))), str(error)
            if declaration.secret:
                shown, why = "its value (not shown, it is a secret)", "it can't be read"
            other = f"ini key {declaration.key}" if origin == "environment" else f"environment {declaration.env}"
            also = "" if other.endswith(" None") else f", {other}"
            said = f"{origin} {source}{also}: {shown}: {why}"
            found.append(Resolved(name, declaration, default, origin, source, said))
    return found


def _family(name: str, declaration: Declaration, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Resolved:
    value: dict[str, str] = {}
    origin = "default"
    for where, source, prefix in (("ini", settings, declaration.key), ("environment", environ, declaration.env)):
        for full, raw in source.items() if prefix else ():
            if full.startswith(prefix or "") and full != prefix and str(raw).strip():
                value[full.removeprefix(prefix or "").lower()] = str(raw).strip()
                origin = where
    return Resolved(name, declaration, value, origin, declaration.env or "" if value else "")


def _check_range(declaration: Declaration, value: Any) -> None:
    if declaration.minimum is not None and value is not None and value < declaration.minimum:
        raise ValueError(f"must be {declaration.minimum:g} or more")
    if declaration.maximum is not None and value is not None and value > declaration.maximum:
        raise ValueError(f"must be {declaration.maximum:g} or less")


# -- from a text to a type ---------------------------------------------------------------------------------------------

_WORDS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}


def _read(kind: Any, raw: Any) -> Any:
    """Return a value of a type: bool, int, float, str, ``tuple[str, ...]``, a ``Literal``, or one of these or None."""
    if typing.get_origin(kind) in {types.UnionType, typing.Union}:
        (kind,) = (one for one in typing.get_args(kind) if one is not types.NoneType)
    if kind == tuple[str, ...]:
        return tuple(raw.replace(",", " ").split() if isinstance(raw, str) else map(str, raw))
    text = str(raw).strip()
    if typing.get_origin(kind) is typing.Literal:
        if text.lower() not in typing.get_args(kind):
            raise ValueError(f"is none of {', '.join(typing.get_args(kind))}")
        return text.lower()
    if kind is bool:
        if text.lower() not in _WORDS:
            raise ValueError("is neither true (true t yes y on 1) nor false (false f no n off 0)")
        return _WORDS[text.lower()]
    if kind not in {int, float, str}:
        raise TypeError(f"no parser for {kind}: give setting(..., parse=) one")
    try:
        value = kind(text)
    except ValueError:
        raise ValueError("is not a whole number" if kind is int else "is not a number") from None
    if kind is float and not math.isfinite(value):
        raise ValueError("is not a finite number")
    return value


# -- the base's own settings -------------------------------------------------------------------------------------------

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


def _redis_options(raw: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in str(raw).split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ValueError("must look like socket_timeout=3,ssl=true")
        options[name.strip()] = value.strip() if name.strip() in _TEXTS else _scalar(value.strip())
    return options


def _scalar(text: str) -> int | float | bool | str | None:
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    words: dict[str, bool | None] = {"true": True, "false": False, "null": None, "none": None, "": None}
    return words.get(text.lower(), text)


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
        (), env="C2C_REDIS_SENTINELS", key="c2c.redis_sentinels", parse=_sentinels, help="`host:port,host:port`"
    )
    redis_servicename: str | None = setting(
        None, env="C2C_REDIS_SERVICENAME", key="c2c.redis_servicename", help="with sentinels: the service's name"
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


# -- names that nothing reads ------------------------------------------------------------------------------------------

RETIRED = {
    "C2C_REDIS_TIMEOUT": "use C2C_REDIS_OPTIONS=socket_timeout=3",
    "C2CWSGI_LOG_LEVEL": "set the level of the c2c loggers in the ini file, or LOG_LEVEL where there is none",
}
"""Variables that deployments still set and nothing reads: name -> what to do instead."""

# As near as two letters that changed places in a name of ten; one end of it is right. (Each worker looks at all
# variables when it starts, and Kubernetes gives it seven for each service of its namespace.)
_NEAR = 0.88
_SHORTEST_NAME, _END = 8, 4


def misspelt(
    classes: Iterable[type[Any]], settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return variables and ini keys that are nearly one that ``classes`` declare, and are none: name -> that one."""
    declared = [declaration for cls in classes for declaration, _ in declarations(cls).values()]
    names = {name for one in declared for name in one.names}
    prefixes = tuple(name for one in declared if one.prefix for name in one.names)
    ends: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        ends[name[:_END]].add(name)
        ends[name[-_END:]].add(name)
    found: dict[str, str] = {}
    for name in sorted({*environ, *settings} - names - RETIRED.keys()):
        if len(name) < _SHORTEST_NAME or name.startswith(prefixes):
            continue
        near = difflib.get_close_matches(name, ends[name[:_END]] | ends[name[-_END:]], 1, _NEAR)
        if not near and name.upper() in names:
            near = [name.upper()]
        if near and not _elsewhere(name):
            found[name] = near[0]
    return found


def _elsewhere(name: str) -> bool:
    """Tell whether a package of ours that is installed, and not imported here, declares the name."""
    for root in {point.module.partition(".")[0] for point in importlib.metadata.entry_points(group="c2c.settings")}:
        spec = importlib.util.find_spec(root)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if any(f'"{name}"' in file.read_text("utf-8", "replace") for file in Path(folder).rglob("*.py")):
                return True
    return False


_SAID: set[str] = set()  # by this process, where there is no folder


def warn_once(log: logging.Logger, message: str, *args: object, level: int = logging.WARNING) -> None:
    """Log a warning about how the service is set up: once a service, not once a worker.

    The first process of the family that says this text is the only one, until the service is started anew: a worker
    that is recycled does not repeat it. Where the family can't have a folder, it is once a process.
    """
    text = message % args if args else message
    name = hashlib.sha256(f"{log.name} {text}".encode()).hexdigest()
    try:
        (service_folder("said") / name).touch(0o600, exist_ok=False)
    except FileExistsError:
        return
    except OSError:
        if name in _SAID:
            return
        _SAID.add(name)
    log.log(level, "%s", text)


def warn_of_names(settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> None:
    """Name what is set, and is retired or only nearly a setting, once all settings of the application are loaded."""
    retired = [f"{name} ({remedy})" for name, remedy in RETIRED.items() if environ.get(name, "").strip()]
    near = [f"{name} (is it {one}?)" for name, one in misspelt(_LOADED, settings, environ).items()]
    for message, found in (
        ("Retired settings that nothing reads any more: %s", retired),
        ("Settings that nothing reads: %s", near),
    ):
        if found:
            warn_once(_LOG, message, "; ".join(found))
