"""The base's own settings, and the names that are retired."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from c2c_broadcast._settings import setting

_LOG = logging.getLogger(__name__)

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
    light_requests: bool = setting(
        True,
        env="C2C_LIGHT_REQUESTS",
        key="c2c.light_requests",
        help="`false`: requests, their events and their routes are left to Pyramid, as if the base were not there",
    )


def warn_of_retired(environ: Mapping[str, str] = os.environ) -> None:
    """Name, in one warning, the retired variables that are still set."""
    found = [f"{name} ({remedy})" for name, remedy in RETIRED.items() if environ.get(name, "").strip()]
    if found:
        _LOG.warning("Retired settings that nothing reads any more: %s", "; ".join(found))
