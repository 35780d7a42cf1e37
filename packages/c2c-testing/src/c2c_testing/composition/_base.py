"""What compositions of containers and of local processes have in common."""

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from c2c_testing._alarms import ALARMS
from c2c_testing.composition._journal import Journal
from c2c_testing.composition._reporter import Reporter

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
