"""PostgreSQL and Redis protocol servers on free ports of 127.0.0.1, for tests and demonstrations.

Each name in small letters is to be used in a ``with``; the plugin has fixtures of the same names. The programs come
from wheels (the extra ``c2c-testing[servers]``); neither docker, root nor system packages are needed, and root may use
them too. Whatever happens to this process, SIGKILL included, its servers end and their folders are removed. Linux only.
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
