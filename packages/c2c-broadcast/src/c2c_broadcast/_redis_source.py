"""How to reach the Redis of the settings: by URL or by Sentinel, with the options of redis-py."""

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, parse_url
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from c2c_broadcast._base_settings import BroadcastSettings
from c2c_broadcast._errors import ConfigurationError
from c2c_broadcast._mask import mask

CONNECT_TIMEOUT = 1.0
TIMEOUT = 2.0
"""Seconds to wait for a reply, where the options don't say."""

# Options of redis-py's clients and pools, which deployments share with other code; a bare connection knows them not.
_OF_CLIENTS = ("max_connections", "single_connection_client", "auto_close_connection_pool", "timeout")
_OURS = {"protocol": 2, "decode_responses": False, "health_check_interval": 0}

_Sentinel: Callable[..., Any] = Sentinel
_parse_url: Callable[[str], dict[str, Any]] = parse_url  # redis-py leaves some functions without types


class Source:
    """Opens sockets to Redis, authenticated and with the database selected, by redis-py."""

    def __init__(self, settings: BroadcastSettings) -> None:
        options: dict[str, Any] = {
            "socket_timeout": TIMEOUT,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_keepalive": True,
        }
        self._sentinel: Any = None
        self._service = settings.redis_servicename or ""
        if settings.redis_sentinels:
            self._sentinel = _sentinels(settings)
            hosts = ",".join(f"{host}:{port}" for host, port in settings.redis_sentinels)
            self.name = f"service {self._service} of the sentinels {hosts}"
            options["db"] = settings.redis_db
        else:
            url = settings.redis_url or ""
            self.name = mask(url.partition("?")[0])
            try:
                options |= _parse_url(url)
            except ValueError as error:
                raise ConfigurationError(f"C2C_REDIS_URL (ini key c2c.redis_url): {mask(str(error))}") from None
        options |= settings.redis_options or {}
        tls = options.pop("ssl", False)
        self._kind = options.pop("connection_class", SSLConnection if tls else Connection)
        if "path" in options:
            del options["socket_keepalive"]
        for name in _OF_CLIENTS:
            options.pop(name, None)
        self._options = options | _OURS
        self._new()  # tells now what redis-py thinks of the options
        self.timeout = _seconds(options["socket_timeout"])

    def _new(self, **where: Any) -> Any:
        try:
            return self._kind(**{**self._options, **where})
        except (TypeError, ValueError, RedisError) as error:
            raise ConfigurationError(f"C2C_REDIS_OPTIONS (ini key c2c.redis_options): {mask(str(error))}") from None

    def connect(self) -> socket.socket:
        """Return a socket that is ready for commands.

        Raises:
            OSError, RedisError: There is none now.
        """
        where: dict[str, Any] = {}
        if self._sentinel is not None:
            where["host"], where["port"] = self._sentinel.discover_master(self._service)
        connection = self._new(**where)
        try:
            connection.connect()
        except BaseException:
            with contextlib.suppress(Exception):  # what is raised already matters more
                connection.disconnect()
            raise
        # redis-py has no public way to hand over its socket; the attribute's name is the same since its version 2.
        # It must forget the socket, or it would shut it down, in a forked child too, when it is collected.
        sock: socket.socket = connection._sock  # noqa: SLF001 # see above
        connection._sock = None  # noqa: SLF001 # see above
        return sock


def _sentinels(settings: BroadcastSettings) -> Any:
    if not settings.redis_servicename:
        raise ConfigurationError(
            "C2C_REDIS_SENTINELS is set and C2C_REDIS_SERVICENAME (ini key c2c.redis_servicename) is not: "
            "give the name of the service that the sentinels watch"
        )
    # A sentinel that is away costs one attempt: the next one is asked, and all of them again soon.
    once = {"socket_timeout": TIMEOUT, "socket_connect_timeout": CONNECT_TIMEOUT, "retry": Retry(NoBackoff(), 0)}
    try:
        return _Sentinel(settings.redis_sentinels, sentinel_kwargs=once | (settings.redis_sentinel_options or {}))
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigurationError(
            f"C2C_REDIS_SENTINEL_OPTIONS (ini key c2c.redis_sentinel_options): {mask(str(error))}"
        ) from None


def _seconds(value: Any) -> float:
    if value is None:
        return TIMEOUT
    if isinstance(value, int | float) and value > 0:
        return float(value)
    raise ConfigurationError(
        f"C2C_REDIS_OPTIONS (ini key c2c.redis_options): socket_timeout is a number of seconds, not {value!r}"
    )
