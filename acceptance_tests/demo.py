"""The demo: the acceptance application under c2c-run, on PostgreSQL (primary and replica) and a Redis-like server.

``make run`` starts it for a person, the acceptance tests start it for themselves, by the same function. Everything
runs on 127.0.0.1 and is gone when this process is, whatever ends it.
"""

import contextlib
import os
import secrets
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from c2c_testing.servers import (
    LocalServer,
    PostgresPair,
    Redis,
    ServerError,
    is_free,
    postgres_pair,
    redis_server,
)

APP = Path(__file__).resolve().parent / "app"
PREFERRED_PORT = 8080
# Workers end their requests in this time, so that Ctrl-C is answered within 5 s whatever they do.
GRACEFUL = 2

RECYCLED = ("--max-requests", "1000", "--max-requests-jitter", "50")
"""Gunicorn's arguments for workers that are replaced now and then."""

PATIENT = ("--timeout", "300")
"""The same for tests that stop a worker and count: it is left alone until they let it go on, and none is replaced."""


class Service(LocalServer):
    """The application under c2c-run: the gunicorn master and its workers."""

    _stop_timeout = GRACEFUL + 1.5

    def __init__(self, port: int, environ: Mapping[str, str], arguments: Sequence[str], app: Path) -> None:
        super().__init__(port)
        self._environ = environ
        self._app = app
        self._arguments = arguments

    @property
    def url(self) -> str:
        """Where it answers, without the application's prefix."""
        return f"http://{self.host}:{self.port}"

    def _argv(self) -> Sequence[str | Path]:
        return [
            Path(sys.executable).parent / "c2c-run",
            self._app / "production.ini",
            "--",
            *f"--bind {self.host}:{self.port} --graceful-timeout {GRACEFUL}".split(),
            *self._arguments,
        ]

    def _env(self) -> Mapping[str, str | None]:
        # The service that /api/outgoing asks: itself, unless another is named.
        return {"OUTGOING_URL": self.url, **self._environ}

    def _is_ready(self, pid: int) -> bool:  # noqa: ARG002 # the port was free before
        try:
            with urllib.request.urlopen(f"{self.url}/api/ping", timeout=5) as answer:
                return bool(answer.status == 200)  # noqa: PLR2004 # HTTP's OK
        except (OSError, urllib.error.URLError):
            return False

    def master(self) -> int:
        """Return the process id of the gunicorn master."""
        return self.pids()[0]

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        master = self.master()
        found = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return sorted(int(pid) for pid in found)


@dataclass(frozen=True, slots=True)
class Demo:
    """What runs: the service, its two databases and its Redis."""

    service: Service
    databases: PostgresPair
    redis: Redis
    secret: str


@contextlib.contextmanager
def databases() -> Iterator[tuple[PostgresPair, Redis]]:
    """Start the servers that the application needs, with the schema and some rows."""
    with postgres_pair(database="demo") as pair, redis_server(password="demo-redis") as redis:
        _migrate(pair.primary.url)
        pair.wait_caught_up()
        yield pair, redis


@contextlib.contextmanager
def service(
    pair: PostgresPair,
    redis: Redis,
    *,
    port: int,
    workers: int = 3,
    arguments: Sequence[str] = RECYCLED,
    environ: Mapping[str, str] | None = None,
    app: Path = APP,
) -> Iterator[Demo]:
    """Start the application of a folder on these servers, with gunicorn's ``arguments``, and stop it at the end."""
    secret = secrets.token_urlsafe(12)
    variables = {
        "SQLALCHEMY_URL": pair.primary.url,
        "SQLALCHEMY_URL_SLAVE": pair.replica.url,
        "C2C_REDIS_URL": redis.url,
        "C2C_SECRET": secret,
        "LOG_LEVEL": "INFO",
        "OTHER_LOG_LEVEL": "INFO",
        "SQL_LOG_LEVEL": "WARNING",
        # No balancer is there to be told: stop at once.
        "C2C_HEALTH_LINGER": "0",
        "GUNICORN_PARAMS": f"--worker-class gthread --threads 10 --workers {workers}",
        **(environ or {}),
    }
    with Service(port, variables, arguments, app) as running:
        yield Demo(running, pair, redis, variables["C2C_SECRET"])
        running.stop()


def _migrate(url: str) -> None:
    from alembic import command
    from alembic.config import Config

    os.environ["SQLALCHEMY_URL"] = url
    command.upgrade(Config(str(APP / "alembic.ini")), "head")


def _port() -> int:
    """Return the port to serve on: ``PORT``, else 8080, else the next free one."""
    wanted = os.environ.get("PORT", "")
    if wanted:
        if not wanted.isdigit() or not 0 < int(wanted) < 2**16:
            _give_up(f"PORT={wanted} is no port: choose one, as in: make run PORT=8081")
        if not is_free(int(wanted)):
            _give_up(f"port {wanted} is busy: choose another, as in: make run PORT={int(wanted) + 1}")
        return int(wanted)
    port = PREFERRED_PORT
    while not is_free(port):
        port += 1
    if port != PREFERRED_PORT:
        print(f"Port {PREFERRED_PORT} is busy: taking {port}. (Another one: make run PORT=...)", flush=True)
    return port


def _give_up(why: str) -> NoReturn:
    sys.stderr.write(f"make run: {why}\n")
    sys.exit(2)


def _follow(log: Path, stop: threading.Event) -> None:
    """Print what the service logs, until told to stop.

    Written past ``sys.stdout``: where nobody reads it the write waits for ever, and would keep the lock that the main
    thread and the end of the process want.
    """
    with log.open("rb") as lines:
        while not stop.is_set():
            text = lines.read(512)
            if text:
                while text:
                    text = text[os.write(1, text) :]
            else:
                stop.wait(0.2)


def main() -> int:
    """Run until Ctrl-C."""
    stop = threading.Event()
    follower: threading.Thread | None = None

    def interrupted(*_: object) -> None:
        # The event, too: an exception that is raised while the interpreter runs a finalizer is lost.
        stop.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, interrupted)
    port = _port()
    try:
        print("Starting PostgreSQL (primary and streaming replica) and Redis ...", flush=True)
        with databases() as (pair, redis):
            print("Starting the application under c2c-run with 3 workers ...", flush=True)
            with service(pair, redis, port=port) as demo:
                follower = threading.Thread(target=_follow, args=(demo.service.folder / "log", stop), daemon=True)
                follower.start()
                _announce(demo)
                while demo.service.running and not stop.wait(1):
                    pass
                died = not demo.service.running
                stop.set()
    except KeyboardInterrupt:
        stop.set()
        died = False
    except ServerError as error:
        _give_up(f"a server does not start: {error}")
    if died:
        _give_up("the application ended by itself: its log is above")
    if follower:
        follower.join(2)
    if not follower or not follower.is_alive():
        print("Stopped.", flush=True)
    return 0


def _announce(demo: Demo) -> None:
    url = demo.service.url
    print(
        f"""
The demo is ready. Open:
{url}/api/hello
{url}/api/c2c
{url}/api/c2c/health_check
{url}/api/metrics
The operators' secret: {demo.secret}
As in: curl -H 'X-API-Key: {demo.secret}' {url}/api/c2c/debug/stacks
Its databases: {demo.databases.primary.url} (primary), {demo.databases.replica.url} (replica), {demo.redis.url}
Ctrl-C stops everything.
""",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
