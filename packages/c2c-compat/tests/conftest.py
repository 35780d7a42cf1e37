"""A copy of the service of 2020, installed as far as Python needs it, and what runs it."""

import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import psycopg2
import pytest

from c2c_broadcast.process import service_folder
from c2c_compat import _era
from c2c_testing import LocalComposition
from c2c_testing.servers import PostgresPair, Redis
from c2c_testing.sinks import SentrySink, StatsdSink, SyslogSink
from c2cwsgiutils.acceptance.connection import Connection

SERVICE = Path(__file__).parent / "service"
SECRET = "a-secret-of-the-tests"
METADATA = "Metadata-Version: 2.1\nName: parcels\nVersion: 1.4\n"


@pytest.fixture(autouse=True)
def _nothing_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test calls of an era says nothing of the next test's process; each hears what is said once a service."""
    monkeypatch.setattr(_era, "_called", [])
    shutil.rmtree(service_folder("said"))


def installed(folder: Path) -> Path:
    """Copy the service to a folder, with what makes ``egg:parcels`` a name, and return the copy."""
    copy = folder / "service"
    shutil.copytree(SERVICE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = copy / "parcels-1.4.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(METADATA)
    (metadata / "entry_points.txt").write_text("[paste.app_factory]\nmain = parcels:main\n")
    return copy


@dataclass(frozen=True)
class Deployment:
    """What runs, and what it sends to."""

    composition: LocalComposition
    connection: Connection
    syslog: SyslogSink
    statsd: StatsdSink
    sentry: SentrySink
    folder: Path

    key = {"X-API-Key": SECRET}  # noqa: RUF012 # frozen

    def operator(self, path: str, **options: Any) -> Any:
        """Ask a tool for JSON, as an operator."""
        return self.connection.get_json(f"tools/{path}", headers=self.key, cors=False, **options)

    def run(self, *command: str | Path, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the environment to its end, as in a container of the service."""
        own = {**self.composition.environment, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **more}
        return subprocess.run(
            command, cwd=self.folder, env=own, capture_output=True, text=True, check=False, timeout=120
        )


@pytest.fixture(scope="module")
def new_database(postgres_pair: PostgresPair) -> Iterator[Callable[[str], Mapping[str, str]]]:
    """Give a function that makes a database and returns its URLs."""
    names: list[str] = []

    def create(name: str) -> Mapping[str, str]:
        names.append(name)
        postgres_pair.primary.create_database(name)
        postgres_pair.wait_caught_up()
        primary, replica = postgres_pair.primary.url_of(name), postgres_pair.replica.url_of(name)
        return {"SQLALCHEMY_URL": primary, "SQLALCHEMY_URL_SLAVE": replica}

    yield create
    for name in names:
        postgres_pair.primary.drop_database(name)


@contextmanager
def deployed(request: pytest.FixtureRequest, name: str, redis_url: str, **more: str) -> Iterator[Deployment]:
    """Start the service as a deployment of 2020 did, by environment variables; each of its names is an old one."""
    folder = installed(request.getfixturevalue("tmp_path_factory").mktemp("deployment"))
    with ExitStack() as stack:
        syslog, statsd, sentry = (stack.enter_context(sink()) for sink in (SyslogSink, StatsdSink, SentrySink))
        environment = {
            "PYTHON": sys.executable,
            "PYTHONPATH": str(folder),
            "PYTHONWARNINGS": "ignore",
            "MORE_PARAMS": "",
            "LOG_TYPE": "json",
            "LOG_LEVEL": "INFO",
            "OTHER_LOG_LEVEL": "WARNING",
            "LOG_HOST": syslog.address[0],
            "LOG_PORT": str(syslog.address[1]),
            "C2C_SECRET": SECRET,
            "C2C_REDIS_URL": redis_url,
            "C2C_REDIS_OPTIONS": "socket_timeout=3",
            "C2C_REDIS_TIMEOUT": "3",
            "C2C_BROADCAST_PREFIX": f"broadcast_{name}_",
            "C2C_DEBUG_VIEW_ENABLED": "1",
            "C2C_LOG_VIEW_ENABLED": "TRUE",
            "C2C_SQL_PROFILER_ENABLED": "1",
            "C2C_DB_MAINTENANCE_VIEW_ENABLED": "1",
            "C2C_PROFILER_PATH": "/profiler",
            "C2C_PROFILER_MODULES": "parcels c2cwsgiutils",
            "C2C_REQUEST_ID_HEADER": "X-Parcels-Id",
            "C2C_REQUESTS_DEFAULT_TIMEOUT": "30",
            "C2C_VERSIONS_PATH": str(folder / "versions.json"),
            "STATS_VIEW": "1",
            "STATSD_ADDRESS": statsd.address,
            "STATSD_PREFIX": "parcels",
            "SENTRY_URL": sentry.dsn,
            "SENTRY_CLIENT_ENVIRONMENT": "staging",
            "SENTRY_TAG_SERVICE": "parcels",
            "C2C_HEALTH_LINGER": "0",
            "PARCELS_IMPORTS": "1",
            **more,
        }
        composition = LocalComposition(request, f"parcels-{name}", folder / "composition.toml", environment=environment)
        url = f"http://127.0.0.1:{composition.environment['API_PORT']}/api/"
        connection = stack.enter_context(Connection(url, "https://parcels.example"))
        yield Deployment(composition, connection, syslog, statsd, sentry, folder)
        assert not [*syslog.errors, *statsd.errors, *sentry.errors]


@pytest.fixture(scope="module")
def deploy(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[Deployment]]:
    """Give a function that starts the service for a block: its name, its Redis, and more variables."""
    return partial(deployed, request)


@pytest.fixture(scope="module", params=["", "--preload"], ids=["own", "preload"])
def deployment(
    request: pytest.FixtureRequest,
    deploy: Callable[..., AbstractContextManager[Deployment]],
    new_database: Callable[[str], Mapping[str, str]],
    redis_server: Redis,
) -> Iterator[Deployment]:
    """Give the service on a primary and its streaming replica, with tags at statsd."""
    name = "preload" if request.param else "own"
    urls = new_database(f"parcels_{name}")
    more = {"MORE_PARAMS": request.param, "STATSD_USE_TAGS": "true", "STATSD_TAG_Instance": "test"}
    with deploy(name, redis_server.url, **urls, **more, MIGRATED_TOO=urls["SQLALCHEMY_URL"]) as running:
        yield running


@contextmanager
def rivers_of(request: pytest.FixtureRequest, name: str, file: str, **more: str) -> Iterator[LocalComposition]:
    """Start services of 6, as the file says, on two databases that know nothing of each other: a row says which."""
    folder = request.getfixturevalue("tmp_path_factory").mktemp("six") / "service6"
    shutil.copytree(SERVICE.parent / "service6", folder, ignore=shutil.ignore_patterns("__pycache__"))
    postgres: PostgresPair = request.getfixturevalue("postgres_pair")
    urls = {}
    for side in ("master", "slave"):
        postgres.primary.create_database(f"{name}_{side}")
        urls[side] = postgres.primary.url_of(f"{name}_{side}")
        with psycopg2.connect(urls[side]) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE hello (id serial PRIMARY KEY, value text UNIQUE INITIALLY DEFERRED)")
            cursor.execute("INSERT INTO hello (value) VALUES (%s)", [side])
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(folder),
        "PYTHONWARNINGS": "ignore",
        "RIVERS_DB": urls["master"],
        "RIVERS_DB_SLAVE": urls["slave"],
        "LOG_LEVEL": "INFO",
        "OTHER_LOG_LEVEL": "WARNING",
        "C2C_SECRET": SECRET,
        "C2C_DEBUG_VIEW_ENABLED": "TRUE",
        "C2C_ENABLE_EXCEPTION_HANDLING": "TRUE",
        "C2C_HEALTH_LINGER": "0",
        "C2C_VERSIONS_PATH": str(folder / "versions.json"),
        "TEST": "%1",
        "test": "%2",
        **more,
    }
    composition = LocalComposition(request, name, folder / file, environment=environment)
    yield composition
    composition.stop_all()
    for side in urls:
        postgres.primary.drop_database(f"{name}_{side}")


@pytest.fixture(scope="module")
def start_rivers(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[LocalComposition]]:
    """Give a function that starts services of 6 for a block: their name, the composition's file, more variables."""
    return partial(rivers_of, request)


# What COMMAND answered in 5.0, and what a Sentinel has more (https://redis.io/docs/latest/commands/redis-5-0-commands/).
KNOWN = frozenset(
    [
        "append",
        "asking",
        "auth",
        "bgrewriteaof",
        "bgsave",
        "bitcount",
        "bitfield",
        "bitop",
        "bitpos",
        "blpop",
        "brpop",
        "brpoplpush",
        "bzpopmax",
        "bzpopmin",
        "client",
        "cluster",
        "command",
        "config",
        "dbsize",
        "debug",
        "decr",
        "decrby",
        "del",
        "discard",
        "dump",
        "echo",
        "eval",
        "evalsha",
        "exec",
        "exists",
        "expire",
        "expireat",
        "flushall",
        "flushdb",
        "geoadd",
        "geodist",
        "geohash",
        "geopos",
        "georadius",
        "georadius_ro",
        "georadiusbymember",
        "georadiusbymember_ro",
        "get",
        "getbit",
        "getrange",
        "getset",
        "hdel",
        "hexists",
        "hget",
        "hgetall",
        "hincrby",
        "hincrbyfloat",
        "hkeys",
        "hlen",
        "hmget",
        "hmset",
        "hscan",
        "hset",
        "hsetnx",
        "hstrlen",
        "hvals",
        "incr",
        "incrby",
        "incrbyfloat",
        "info",
        "keys",
        "lastsave",
        "latency",
        "lindex",
        "linsert",
        "llen",
        "lolwut",
        "lpop",
        "lpush",
        "lpushx",
        "lrange",
        "lrem",
        "lset",
        "ltrim",
        "memory",
        "mget",
        "migrate",
        "module",
        "monitor",
        "move",
        "mset",
        "msetnx",
        "multi",
        "object",
        "persist",
        "pexpire",
        "pexpireat",
        "pfadd",
        "pfcount",
        "pfdebug",
        "pfmerge",
        "pfselftest",
        "ping",
        "psetex",
        "psubscribe",
        "psync",
        "pttl",
        "publish",
        "pubsub",
        "punsubscribe",
        "randomkey",
        "readonly",
        "readwrite",
        "rename",
        "renamenx",
        "replconf",
        "replicaof",
        "restore",
        "role",
        "rpop",
        "rpoplpush",
        "rpush",
        "rpushx",
        "sadd",
        "save",
        "scan",
        "scard",
        "script",
        "sdiff",
        "sdiffstore",
        "select",
        "sentinel",
        "set",
        "setbit",
        "setex",
        "setnx",
        "setrange",
        "shutdown",
        "sinter",
        "sinterstore",
        "sismember",
        "slaveof",
        "slowlog",
        "smembers",
        "smove",
        "sort",
        "spop",
        "srandmember",
        "srem",
        "sscan",
        "strlen",
        "subscribe",
        "substr",
        "sunion",
        "sunionstore",
        "swapdb",
        "sync",
        "time",
        "touch",
        "ttl",
        "type",
        "unlink",
        "unsubscribe",
        "unwatch",
        "wait",
        "watch",
        "xack",
        "xadd",
        "xclaim",
        "xdel",
        "xgroup",
        "xinfo",
        "xlen",
        "xpending",
        "xrange",
        "xread",
        "xreadgroup",
        "xrevrange",
        "xsetid",
        "xtrim",
        "zadd",
        "zcard",
        "zcount",
        "zincrby",
        "zinterstore",
        "zlexcount",
        "zpopmax",
        "zpopmin",
        "zrange",
        "zrangebylex",
        "zrangebyscore",
        "zrank",
        "zrem",
        "zremrangebylex",
        "zremrangebyrank",
        "zremrangebyscore",
        "zrevrange",
        "zrevrangebylex",
        "zrevrangebyscore",
        "zrevrank",
        "zscan",
        "zscore",
        "zunionstore",
    ]
)
CLIENT = frozenset(["getname", "help", "id", "kill", "list", "pause", "reply", "setname", "unblock"])


class Redis5(socketserver.ThreadingTCPServer):
    """Stand before a server; ``refused`` has the commands that Redis 5 would not have known."""

    daemon_threads = True

    def __init__(self, behind: Redis) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.behind = (behind.host, behind.port)
        self.refused: set[str] = set()

    @property
    def url(self) -> str:
        """``redis://127.0.0.1:port/0``."""
        return f"redis://127.0.0.1:{self.server_address[1]}/0"


class _Connection(socketserver.StreamRequestHandler):
    server: Redis5

    def handle(self) -> None:
        """Pass commands on; one that Redis 5 does not know by a name that the server does not know either."""
        with socket.create_connection(self.server.behind) as behind, suppress(OSError):
            threading.Thread(target=_copy, args=(behind, self.connection), daemon=True).start()
            for words in _commands(self.rfile):
                name = words[0].decode().lower()
                if name not in KNOWN or (name == "client" and words[1].decode().lower() not in CLIENT):
                    self.server.refused.add(b" ".join(words[:2]).decode().upper())
                    words[0] = b"UNKNOWN-" + words[0]
                behind.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in words))


def _commands(stream: BinaryIO) -> Iterator[list[bytes]]:
    while line := stream.readline():
        words = []
        for _ in range(int(line[1:])):
            size = int(stream.readline()[1:])
            words.append(stream.read(size + 2)[:-2])
        yield words


def _copy(one: Any, other: Any) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="session")
def as_redis_5() -> Iterator[Callable[[Redis], Redis5]]:
    """Give a function that stands before a server as long as the tests run."""
    with ExitStack() as stack:

        def start(behind: Redis) -> Redis5:
            server = stack.enter_context(Redis5(behind))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture(scope="session")
def five(redis_server: Redis, as_redis_5: Callable[[Redis], Redis5]) -> Redis5:
    """Give a Redis 5."""
    return as_redis_5(redis_server)
