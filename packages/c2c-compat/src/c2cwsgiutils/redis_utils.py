"""Clients of the Redis that the settings name."""

from collections.abc import Callable, Mapping
from typing import Any

import redis.sentinel

from c2c_broadcast import BroadcastSettings, load
from c2cwsgiutils import broadcast

cleanup = broadcast.cleanup


def get(settings: Mapping[str, Any] | None = None) -> tuple[Any, Any, Any]:
    """Return redis-py's clients for writing and for reading, and the Sentinel; None for what there is not.

    They decode answers to texts unless ``C2C_REDIS_OPTIONS`` says ``decode_responses=false``. Nothing is connected yet.

    Args:
        settings: of the ini file; the environment wins over them

    Raises:
        ConfigurationError: A setting can't be read.
    """
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


# Names of the settings: environment, ini key.
REDIS_URL_KEY, REDIS_URL_KEY_PROP = "C2C_REDIS_URL", "c2c.redis_url"
REDIS_OPTIONS_KEY, REDIS_OPTIONS_KEY_PROP = "C2C_REDIS_OPTIONS", "c2c.redis_options"
REDIS_SENTINELS_KEY, REDIS_SENTINELS_KEY_PROP = "C2C_REDIS_SENTINELS", "c2c.redis_sentinels"
REDIS_SERVICENAME_KEY, REDIS_SERVICENAME_KEY_PROP = "C2C_REDIS_SERVICENAME", "c2c.redis_servicename"
REDIS_DB_KEY, REDIS_DB_KEY_PROP = "C2C_REDIS_DB", "c2c.redis_db"


class PubSubWorkerThread(redis.client.PubSubWorkerThread):
    """A thread that handles messages, as redis-py has it."""
