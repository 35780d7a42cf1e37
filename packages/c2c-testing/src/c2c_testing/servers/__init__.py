"""PostgreSQL and Redis protocol servers on free ports of 127.0.0.1, for tests and demonstrations.

Each function is a context manager; the plugin has fixtures of the same names. The programs come from wheels (the extra
``c2c-testing[servers]``); neither docker, root nor system packages are needed, and root may use them too. Whatever
happens to this process, SIGKILL included, its servers end and their folders are removed. Linux only.
"""

from c2c_testing.servers._keeper import Keeper
from c2c_testing.servers._pair import PostgresPair, postgres_pair
from c2c_testing.servers._places import PortBusyError, ServerError, free_port, is_free
from c2c_testing.servers._postgres import Postgres, postgres
from c2c_testing.servers._redis import Redis, redis_server
from c2c_testing.servers._sentinel import RedisSentinel, redis_sentinel
from c2c_testing.servers._server import LocalServer, stopped

__all__ = [
    "Keeper",
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
