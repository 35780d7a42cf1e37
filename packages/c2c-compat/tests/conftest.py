"""A copy of the service of 2020, installed as far as Python needs it, and what runs it."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from c2c_compat import _era
from c2c_testing import LocalComposition, SentrySink, StatsdSink, SyslogSink
from c2c_testing.servers import PostgresPair, Redis
from c2cwsgiutils.acceptance.connection import Connection

SERVICE = Path(__file__).parent / "service"
SECRET = "a-secret-of-the-tests"
METADATA = "Metadata-Version: 2.1\nName: parcels\nVersion: 1.4\n"


@pytest.fixture(autouse=True)
def _nothing_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test calls of an era says nothing of the next test's process."""
    monkeypatch.setattr(_era, "_called", [])


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
    pair: PostgresPair
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


@pytest.fixture(scope="module", params=["", "--preload"], ids=["own", "preload"])
def deployment(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    new_database: Callable[[str], Mapping[str, str]],
    postgres_pair: PostgresPair,
    redis_server: Redis,
) -> Iterator[Deployment]:
    """Start the service as a deployment of 2020 did, by environment variables; each of its names is an old one."""
    folder = installed(tmp_path_factory.mktemp("deployment"))
    name = "preload" if request.param else "own"
    with ExitStack() as stack:
        syslog, statsd, sentry = (stack.enter_context(sink()) for sink in (SyslogSink, StatsdSink, SentrySink))
        environment = {
            **new_database(f"parcels_{name}"),
            "PYTHON": sys.executable,
            "PYTHONPATH": str(folder),
            "PYTHONWARNINGS": "ignore",
            "MORE_PARAMS": request.param,
            "LOG_TYPE": "json",
            "LOG_LEVEL": "INFO",
            "OTHER_LOG_LEVEL": "WARNING",
            "LOG_HOST": syslog.address[0],
            "LOG_PORT": str(syslog.address[1]),
            "C2C_SECRET": SECRET,
            "C2C_REDIS_URL": redis_server.url,
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
            "STATSD_USE_TAGS": "true",
            "STATSD_TAG_Instance": "test",
            "SENTRY_URL": sentry.dsn,
            "SENTRY_CLIENT_ENVIRONMENT": "staging",
            "SENTRY_TAG_SERVICE": "parcels",
            "C2C_HEALTH_LINGER": "0",
            "PARCELS_IMPORTS": "1",
        }
        composition = LocalComposition(request, f"parcels-{name}", folder / "composition.toml", environment=environment)
        url = f"http://127.0.0.1:{composition.environment['API_PORT']}/api/"
        connection = stack.enter_context(Connection(url, "https://parcels.example"))
        yield Deployment(composition, connection, syslog, statsd, sentry, postgres_pair, folder)
        assert not [*syslog.errors, *statsd.errors, *sentry.errors]
