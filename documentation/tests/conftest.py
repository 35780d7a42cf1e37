"""The demo, and sandboxes for the commands of pages."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from acceptance_tests import demo as start
from c2c_testing.servers import free_port
from documentation.sandbox import SECRET, Sandbox

_COUNTED: pytest.StashKey["Counter[str]"] = pytest.StashKey()


@pytest.fixture(scope="session")
def counted(pytestconfig: pytest.Config) -> "Counter[str]":
    """Give the count of what was held to the truth, which the end of the run shows."""
    return pytestconfig.stash.setdefault(_COUNTED, Counter())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how much of the documentation ran, and what did not, and why."""
    for what, number in sorted(config.stash.get(_COUNTED, Counter()).items()):
        terminalreporter.write_line(what if what.startswith("not run") else f"{number:5} {what}")


@pytest.fixture(scope="session")
def running() -> Iterator[start.Demo]:
    """Give the demo, with two workers, versions and the profiler's page, and its databases, which all tests share.

    Its processes know each other only.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, start.databases() as (pair, redis):
        versions = Path(folder, "versions.json")
        versions.write_text('{"main": {"git_hash": "0a1b2c3", "git_tag": "1.2.0"}, "packages": {"pyramid": "2.1"}}')
        environ = {
            "C2C_BROADCAST_PREFIX": f"docs_{port}_",
            "C2C_SECRET": SECRET,
            "C2C_VERSIONS_PATH": str(versions),
            "C2C_PROFILER_PATH": "/profiler",
        }
        with start.service(pair, redis, port=port, workers=2, environ=environ) as found:
            yield found


@pytest.fixture
def new_sandbox(running: start.Demo, tmp_path: Path) -> Iterator[Callable[[Path], Sandbox]]:
    """Give a function that opens a page's sandbox: of the running demo, or of a service that the page starts."""
    with ExitStack() as stack:

        def new(page: Path) -> Sandbox:
            demo = "<!-- sandbox: demo -->" in page.read_text(encoding="utf-8")
            port = running.service.port if demo else free_port()
            environ = {"C2C_BROADCAST_PREFIX": f"page_{port}_", **({"C2C_SECRET": SECRET} if demo else {})}
            instead = {
                "postgresql://www:secret@db-1/app": running.databases.primary.url,
                "postgresql://www:secret@db-2/app": running.databases.replica.url,
                "redis://redis:6379": running.redis.url,
            }
            sandbox = Sandbox(tmp_path, environ, instead, port)
            stack.callback(sandbox.close)
            return sandbox

        yield new
