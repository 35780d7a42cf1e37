"""Clients of the Redis that the settings name."""

from collections.abc import Callable, Mapping
from typing import Any

from c2c_broadcast import BroadcastSettings, load


def get(settings: Mapping[str, Any] | None = None) -> tuple[Any, Any, Any]:
    """Return redis-py's clients for writing and for reading, and the Sentinel; None for what there is not.

    They decode answers to texts unless ``C2C_REDIS_OPTIONS`` says ``decode_responses=false``. Nothing is connected yet.

    Args:
        settings: of the ini file; the environment wins over them

    Raises:
        ConfigurationError: A setting can't be read.
    """
    import redis.sentinel

    found = load(BroadcastSettings, settings or {})
    # RESP 2, which Redis 5 speaks too: redis-py 8 would begin with HELLO.
    options = {"decode_responses": True, "protocol": 2, **(found.redis_options or {})}
    if found.redis_sentinels:
        make: Callable[..., Any] = redis.sentinel.Sentinel
        # Where nothing else is said, the Sentinels have the same time-outs, as in redis-py.
        asked = {name: value for name, value in options.items() if name.startswith(("socket_", "protocol"))}
        sentinel = make(found.redis_sentinels, sentinel_kwargs=asked | (found.redis_sentinel_options or {}), **options)
        name, number = found.redis_servicename, found.redis_db
        return sentinel.master_for(name, db=number), sentinel.slave_for(name, db=number), sentinel
    if found.redis_url is None:
        return None, None, None
    client = redis.Redis.from_url(found.redis_url, **options)
    return client, client, None
