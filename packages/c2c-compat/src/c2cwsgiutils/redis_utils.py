"""Clients of Redis."""

from redis import client

from c2c_compat._daemon import cleanup
from c2c_compat._redis import get

__all__ = ["PubSubWorkerThread", "cleanup", "get"]

# Names of the settings: environment, ini key.
REDIS_URL_KEY, REDIS_URL_KEY_PROP = "C2C_REDIS_URL", "c2c.redis_url"
REDIS_OPTIONS_KEY, REDIS_OPTIONS_KEY_PROP = "C2C_REDIS_OPTIONS", "c2c.redis_options"
REDIS_SENTINELS_KEY, REDIS_SENTINELS_KEY_PROP = "C2C_REDIS_SENTINELS", "c2c.redis_sentinels"
REDIS_SERVICENAME_KEY, REDIS_SERVICENAME_KEY_PROP = "C2C_REDIS_SERVICENAME", "c2c.redis_servicename"
REDIS_DB_KEY, REDIS_DB_KEY_PROP = "C2C_REDIS_DB", "c2c.redis_db"


class PubSubWorkerThread(client.PubSubWorkerThread):
    """A thread that handles messages, as redis-py has it."""
