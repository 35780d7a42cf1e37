"""What compositions of containers and of local processes have in common."""

import os
import shlex
import shutil
import subprocess
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from c2c_testing.utils import ALARMS

_LONGEST_OUTPUT = 4000


class CommandError(subprocess.CalledProcessError):
    """A command ended with another status than 0; the message has the end of its output."""

    def __str__(self) -> str:
        said = "\n".join(_text(part).rstrip() for part in (self.stdout, self.stderr) if part)
        return f"{shlex.join(self.cmd)} ended with {self.returncode}:\n{said[-_LONGEST_OUTPUT:]}"


def call(words: Sequence[str], **kw: Any) -> Any:
    """Run a command and return its standard output, as text; ``kw`` are those of subprocess.run, with ``check=True``.

    Raises:
        CommandError: it ended with another status than 0, unless ``check=False``
        subprocess.TimeoutExpired: it took longer than ``timeout`` seconds, if that is given
    """
    check = kw.pop("check", True)
    kw.pop("capture_output", None)
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    if "input" not in kw:
        options["stdin"] = subprocess.DEVNULL
    if kw.get("text") is False:
        del options["errors"]  # it would make text of it all the same
    result = subprocess.run([*words], check=False, **{**options, **kw})  # noqa: S603 - the test run's own command
    if check and result.returncode:
        raise CommandError(result.returncode, [*words], result.stdout, result.stderr)
    return result.stdout


def _text(output: str | bytes) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output


_LINES = 10_000
_LONGEST_LINE = 10_000
_LAST_LINES = 30


class ContainerDiedError(RuntimeError):
    """A container, or a local process in its place, ended by itself; the message has its last lines."""


@dataclass(frozen=True, slots=True)
class Death:
    """A container's end that nobody asked for, and its last lines."""

    container: str
    status: int
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join((f"{self.container} died with status {self.status}; its last lines:", *self.lines))


class Journal:
    """The lines of all containers, the newest 10,000 of them, and the deaths. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[tuple[str, str]] = deque(maxlen=_LINES)
        self._count = 0
        self._deaths: dict[str, Death] = {}
        self._reported: set[Death] = set()

    def put(self, container: str, line: str) -> None:
        """Note a line."""
        with self._lock:
            self._count += 1
            self._lines.append((container, line.rstrip("\r\n")[:_LONGEST_LINE]))

    def mark(self) -> int:
        """Return how many lines there were so far."""
        with self._lock:
            return self._count

    def since(self, mark: int = 0) -> list[str]:
        """Return the lines after a mark, oldest first, each after its container's name."""
        with self._lock:
            new = min(self._count - mark, len(self._lines))
            return [f"{container} | {line}" for container, line in list(self._lines)[len(self._lines) - new :]]

    def lines_of(self, container: str) -> list[str]:
        """Return one container's lines, oldest first."""
        with self._lock:
            return [line for name, line in self._lines if name == container]

    def died(self, container: str, status: int) -> None:
        """Note an end that nobody asked for; the lines before it have to be there."""
        last = tuple(self.lines_of(container)[-_LAST_LINES:])
        with self._lock:
            self._deaths[container] = Death(container, status, last)

    def lives(self, container: str) -> None:
        """Forget a death: it was started again."""
        with self._lock:
            self._deaths.pop(container, None)

    def check(self) -> None:
        """Raise ContainerDiedError if one died."""
        with self._lock:
            deaths = list(self._deaths.values())
            self._reported.update(deaths)
        if deaths:
            raise ContainerDiedError("\n\n".join(map(str, deaths)))

    def check_unreported(self) -> None:
        """Raise ContainerDiedError if one died that no check has told of."""
        with self._lock:
            news = set(self._deaths.values()) - self._reported
        if news:
            self.check()


class Reporter:
    """Fail the tests that use a composition when one of its containers died, and show what was logged meanwhile."""

    def __init__(self, name: str, journal: Journal, fixture: str | None) -> None:
        self._name = name
        self._journal = journal
        self._fixture = fixture
        self._mark = 0  # the first test shows the start

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail a test at once where a container is already dead."""
        self._mark = self._journal.mark()
        self._check(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Fail a test during which a container died, though it did not notice."""
        result = yield
        self._check(item)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Show the log of a failed test's time."""
        report = yield
        if report.failed and self._uses(item):
            report.sections.append((f"Log of {self._name}", "\n".join(self._journal.since(self._mark))))
        return report

    def _uses(self, item: pytest.Item) -> bool:
        return self._fixture is None or self._fixture in getattr(item, "fixturenames", ())

    def _check(self, item: pytest.Item) -> None:
        if self._uses(item):
            try:
                self._journal.check()
            except ContainerDiedError as error:
                pytest.fail(str(error), pytrace=False)


#: Below the current folder: what ``coverage_paths`` name, in a folder for each container.
COVERAGE = Path("reports", "coverage")


class BaseComposition(ABC):
    """Some services that are started for a fixture and stopped with it.

    ``docker_start=0`` in the environment starts nothing (they run already), ``docker_stop=0`` leaves them running.
    A container that dies (ends by itself, with another status than 0) fails at once whatever waits with
    ``c2c_testing.utils`` and the tests that use the fixture, with its last lines. The log is part of a failed test's
    report.
    """

    def __init__(
        self,
        request: Any,
        project_name: str,
        composition_file: str | os.PathLike[str],
        coverage_paths: Sequence[str] | None = None,
    ) -> None:
        self.project_name = project_name
        self.composition_file = Path(composition_file).resolve()
        if not self.composition_file.is_file():
            raise FileNotFoundError(f"There is no composition file {self.composition_file}")
        self.coverage_paths = [_container_and_path(given) for given in coverage_paths or ()]
        self._journal = Journal()
        self._began = False
        self._prepare()
        self._reporter = Reporter(project_name, self._journal, request.fixturename)
        self._plugins = request.config.pluginmanager
        self._plugins.register(self._reporter)
        ALARMS.add(self._journal.check)
        request.addfinalizer(self._end)
        self._begin(start=_wanted("docker_start"))
        self._began = True
        self._journal.check()

    def _end(self) -> None:
        try:
            if _wanted("docker_stop"):
                self.stop_all()
        finally:
            ALARMS.discard(self._journal.check)
            self._plugins.unregister(self._reporter)
            self._close()
        self._journal.check_unreported()

    def stop_all(self) -> None:
        """Stop all containers, and copy what ``coverage_paths`` name to ``reports/coverage/<container>``."""
        self._stop_all()
        for container, path in self.coverage_paths if self._began else ():
            target = COVERAGE / container
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._copy(container, path, target)

    def logs(self, container: str | None = None) -> list[str]:
        """Return the lines that a container said, or all did, oldest first (the newest 10,000 are kept)."""
        return self._journal.since() if container is None else self._journal.lines_of(container)

    @abstractmethod
    def start(self, container: str) -> None:
        """Start a container that was stopped, or died."""

    @abstractmethod
    def stop(self, container: str) -> None:
        """Stop a container."""

    @abstractmethod
    def restart(self, container: str) -> None:
        """Stop and start a container."""

    @abstractmethod
    def run(self, container: str, *command: str, **kw: Any) -> Any:
        """Run a command in a container of its own, like that one, and return its standard output, a text.

        ``kw`` are those of subprocess.run: ``input``, ``timeout``, ``check=False``, ...

        Raises:
            CommandError: the command ended with another status than 0
        """

    @abstractmethod
    def exec(self, container: str, *command: str, **kw: Any) -> Any:
        """Run a command in the running container: as ``run``."""

    @abstractmethod
    def _prepare(self) -> None:
        """Find what is needed, before anything is started."""

    @abstractmethod
    def _begin(self, *, start: bool) -> None:
        """Start what is to be started, and follow it."""

    @abstractmethod
    def _stop_all(self) -> None: ...

    @abstractmethod
    def _copy(self, container: str, path: str, target: Path) -> None:
        """Copy a file or folder of a stopped container."""

    @abstractmethod
    def _close(self) -> None:
        """End what follows the containers."""


def _wanted(variable: str) -> bool:
    return os.environ.get(variable, "1").lower() not in ("0", "false")


def _container_and_path(given: str) -> tuple[str, str]:
    container, colon, path = given.partition(":")
    if not (container and colon and path):
        raise ValueError(f"coverage_paths: {given!r} is not container:path")
    return container, path
