"""The check that Redis answers, by redis-py."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Unpack

from c2c_broadcast import BroadcastSettings, ConfigurationError, broadcast
from c2c_health._check import DEFAULT_TIMEOUT, Check, JsonCheckException, Options
from c2c_health.checks import Kind, secrets_of, shown

_QUICK = 2.0
_INFO = {
    "version": "redis_version",
    "role": "role",
    "connected_clients": "connected_clients",
    "used_memory": "used_memory_human",
}
_PROBE, _PROBE_SECONDS = "c2c_health_check", 60


class Redises(Kind):
    """Adds checks of Redis."""

    def add_redis_check(self, url: str, name: str | None = None, level: int = 1, **options: Unpack[Options]) -> None:
        """Check that a Redis answers PING. It is named by the URL without user and password.

        The Redis of the settings has such a check by itself, at level 2.

        Raises:
            ConfigurationError: It is no URL of a Redis, or redis-py is not installed.
        """
        if find_spec("redis") is None:
            raise ConfigurationError("The Redis check needs redis: pip install 'c2c-health[redis]'")
        url = url if "://" in url else f"redis://{url}"
        try:
            address = shown(url)
        except ValueError as error:
            raise ConfigurationError(f"The health check of the Redis: {error}") from None
        connect = _by_url(url, **_quick(options.get("timeout", DEFAULT_TIMEOUT)))
        self.add(replace(_check(name or address, connect, url, level), **options))


def own_redis_check(settings: BroadcastSettings, name: str) -> tuple[Check, str]:
    """Return the check of the base's own Redis, and its URL or its Sentinels; ``name`` may be ``url`` to be that."""
    options = settings.redis_options or {}
    if not settings.redis_sentinels:
        url = settings.redis_url or ""
        address, connect = shown(url), _by_url(url, **{**_quick(_QUICK), **options})
    else:
        url, service = "", settings.redis_servicename or ""
        asked = _quick(_QUICK) | (settings.redis_sentinel_options or {})

        def connect() -> Any:
            from redis.sentinel import Sentinel

            found: Any = Sentinel(settings.redis_sentinels, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
            return found.master_for(service, **{**_quick(_QUICK), "db": settings.redis_db, **options})

        address = " ".join(f"{host}:{port}" for host, port in settings.redis_sentinels)
    return _check(address if name == "url" else name, connect, url, 2, writes=True), address


def _quick(timeout: float) -> dict[str, Any]:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    times = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    # Redis-py's retries would outlast the deadline; the next probe is the retry. RESP 2 is what every server speaks:
    # redis-py 8 begins with HELLO, which Redis 5 does not know.
    return {**times, "retry": Retry(NoBackoff(), 0), "protocol": 2}


def _by_url(url: str, **options: Any) -> Callable[[], Any]:
    """Return what connects. Options of the URL win, as redis-py has it; ``ssl`` is a matter of its scheme."""
    from redis import Redis

    options.pop("ssl", None)
    try:
        Redis.from_url(url, **options).close()
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"The health check of the Redis {shown(url)}: {error}") from None
    return lambda: Redis.from_url(url, **options)


def _check(name: str, connect: Callable[[], Any], url: str, level: int, *, writes: bool = False) -> Check:
    """Return the check, whose result is what the server says of itself; where ``writes``, it has to take them."""

    def run(_request: Any) -> dict[str, Any]:
        from redis.exceptions import NoPermissionError, ResponseError

        # A connection of its own, each time: one that is kept says nothing of whether others can connect.
        with closing(connect()) as client:
            client.ping()
            try:
                info = client.info()
            except ResponseError:  # a user who may not ask (ACL)
                info = {}
            found = {part: info[key] for part, key in _INFO.items() if key in info}
            try:
                if writes:
                    client.set(_PROBE, "1", ex=_PROBE_SECONDS)
            except NoPermissionError:  # this name is not for this user, which says nothing of the server
                pass
            except ResponseError as error:  # OOM, READONLY, MISCONF, NOREPLICAS
                raise JsonCheckException(f"it refuses writes: {error}", found) from error
        unsaved = broadcast.health().unsaved if writes else {}
        if unsaved:
            names = ", ".join(f"{state} ({reason})" for state, reason in sorted(unsaved.items()))
            raise JsonCheckException(f"shared state is not stored: {names}", found)
        return found

    return Check(name=name, run=run, level=level, kind="redis", secrets=tuple(secrets_of(url)))
