"""Containers, by docker compose."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from c2c_testing.utils import ALARMS

_LINES = 10_000
_LONGEST_LINE = 10_000
#: How many lines of a container that died are shown.
_LAST_LINES = 30
_LONGEST_OUTPUT = 4000
_LABEL = "com.docker.compose."
_EXITED = re.compile(r"Exited \((\d+)\)")
# Below the current folder: what ``coverage_paths`` name, in a folder for each container.
_COVERAGE = Path("reports", "coverage")


class ContainerDiedError(RuntimeError):
    """A container, or a local process in its place, ended by itself; the message has its last lines."""


class Tail:
    """What is new in a file that grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def lines(self) -> Iterator[str]:
        """Yield the lines since the last time, without their ends."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                for line in file:
                    if line.endswith(b"\n"):
                        self._read += len(line)
                        yield line.decode(errors="replace").rstrip("\r\n")[:_LONGEST_LINE]


class Journal:
    """The lines of all containers, the newest 10,000 of them, and the deaths; a plugin of pytest.

    It fails the tests that use the fixture when a container died, and shows what was logged during a failed one.
    ``look`` is called before each answer, to put what is new.
    """

    def __init__(self, name: str, fixture: str | None, look: Callable[[], None]) -> None:
        self._name = name
        self._fixture = fixture
        self._look = look
        # Tests may wait in several threads; what is put is put once.
        self._lock = threading.Lock()
        self._lines: deque[tuple[str, str]] = deque(maxlen=_LINES)
        self._count = 0
        self._before = 0  # the first test shows the start
        self.deaths: dict[str, str] = {}
        self._told: set[str] = set()

    def put(self, container: str, line: str) -> None:
        self._count += 1
        self._lines.append((container, line))

    def died(self, container: str, status: int, last: list[str]) -> None:
        """Note an end that nobody asked for, with its last lines."""
        lines = (f"{container} died with status {status}; its last lines:", *last[-_LAST_LINES:])
        self.deaths[container] = "\n".join(lines)

    def lines(self, after: int = 0) -> list[tuple[str, str]]:
        """Return containers and lines, after so many of them."""
        with self._lock:
            self._look()
            new = min(self._count - after, len(self._lines))
            return list(self._lines)[len(self._lines) - new :]

    def check(self, *, again: bool = True) -> None:
        """Raise ContainerDiedError if one died; unless ``again``, only where that was not told before."""
        with self._lock:
            self._look()
            deaths = list(self.deaths.values())
            news = set(deaths) - self._told
            self._told |= news
        if deaths if again else news:
            raise ContainerDiedError("\n\n".join(deaths))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self._is_used(item):
            try:
                self._fail()
            finally:
                self._before = self._count

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        result = yield  # it may not have noticed that a container died
        if self._is_used(item):
            self._fail()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        report = yield
        if report.failed and self._is_used(item):
            lines = (f"{container} | {line}" for container, line in self.lines(self._before))
            report.sections.append((f"Log of {self._name}", "\n".join(lines)))
        return report

    def _is_used(self, item: pytest.Item) -> bool:
        return self._fixture is None or self._fixture in getattr(item, "fixturenames", ())

    def _fail(self) -> None:
        try:
            self.check()
        except ContainerDiedError as error:
            pytest.fail(str(error), pytrace=False)


class CommandError(subprocess.CalledProcessError):
    """A command ended with another status than 0; the message has the end of its output."""

    def __str__(self) -> str:
        said = "\n".join(str(output).rstrip() for output in (self.stdout, self.stderr) if output)
        return f"{shlex.join(self.cmd)} ended with {self.returncode}:\n{said[-_LONGEST_OUTPUT:]}"


def call(words: Sequence[str], **kw: Any) -> Any:
    """Run a command and return its standard output, as text; ``kw`` are those of subprocess.run, ``check=True``."""
    kw.pop("capture_output", None)
    kw = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "check": True, **kw}
    if "input" not in kw:
        kw["stdin"] = subprocess.DEVNULL
    if kw["text"]:
        kw["errors"] = "replace"
    try:
        return subprocess.run([*words], **kw).stdout  # noqa: PLW1510, S603 - check is there; the test run's own command
    except subprocess.CalledProcessError as error:
        raise CommandError(error.returncode, error.cmd, error.stdout, error.stderr) from None


class Composition:
    """The containers of a docker compose file: ``docker compose`` (v2), else ``docker-compose``.

    Containers of an earlier run are stopped and removed, with their anonymous volumes; then images are built and
    containers started. They are stopped, but not removed, at the end: what they left can be looked at.
    ``docker_start=0`` in the environment starts nothing (they run already), ``docker_stop=0`` leaves them running.

    A container that dies (ends by itself, with another status than 0) fails at once whatever waits with
    ``c2c_testing.utils`` and the tests that use the fixture, with its last lines. The log is part of a failed test's
    report.

    Args:
        request: pytest's fixture of this name
        project_name: of docker compose
        composition_file: the docker compose file
        coverage_paths: ``service:path`` or ``container:path``, copied by ``stop_all``
        environment: more variables, for docker compose

    Raises:
        RuntimeError: docker compose is not installed
        CommandError: a command of docker failed; the message has the end of its output
        ContainerDiedError: a container died during the start
    """

    def __init__(
        self,
        request: Any,
        project_name: str,
        composition_file: str | os.PathLike[str],
        coverage_paths: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.project_name = project_name
        #: Variables over our own.
        self.environment = dict(environment or {})
        self.composition_file = Path(composition_file).resolve()
        if not self.composition_file.is_file():
            raise FileNotFoundError(f"There is no composition file {self.composition_file}")
        self.coverage_paths = [_container_and_path(given) for given in coverage_paths or ()]
        self._began = False
        self._prepare()
        self._journal = Journal(project_name, request.fixturename, self._look)
        plugins = request.config.pluginmanager
        plugins.register(self._journal)
        ALARMS.add(self._journal.check)

        def end() -> None:
            try:
                if _wanted("docker_stop"):
                    self.stop_all()
            finally:
                ALARMS.discard(self._journal.check)
                plugins.unregister(self._journal)
                self._close()
            self._journal.check(again=False)

        request.addfinalizer(end)
        self._begin(start=_wanted("docker_start"))
        self._began = True
        self._journal.check()

    def start(self, container: str) -> None:
        """Start a container that was stopped, or died."""
        since = datetime.now(UTC).isoformat()
        self._dc("start", container)
        self._down.discard(container)
        self._journal.deaths.pop(container, None)
        self._follow("--since", since)  # it ends when no container runs

    def stop(self, container: str) -> None:
        """Stop a container."""
        self._journal.lines()  # a death before that stays one
        self._down.add(container)
        self._dc("stop", container)

    def restart(self, container: str) -> None:
        """Stop and start a container."""
        self.stop(container)
        self.start(container)

    def run(self, container: str, *command: str, **kw: Any) -> Any:
        """Run a command in a container of its own, like that one, and return its standard output, a text.

        ``kw`` are those of subprocess.run: ``input``, ``timeout``, ``check=False``, ...

        Raises:
            CommandError: the command ended with another status than 0
        """
        return self._dc("run", "--rm", "-T", container, *command, **kw)

    def exec(self, container: str, *command: str, **kw: Any) -> Any:
        """Run a command in the running container: as ``run``."""
        return self._dc("exec", "-T", container, *command, **kw)

    def stop_all(self) -> None:
        """Stop all containers, and copy what ``coverage_paths`` name to ``reports/coverage/<container>``."""
        self._stop_all()
        for container, path in self.coverage_paths if self._began else ():
            target = _COVERAGE / container
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._copy(container, path, target)

    def logs(self, container: str | None = None) -> list[str]:
        """Return the lines that a container said, or all did, oldest first (the newest 10,000 are kept)."""
        lines = self._journal.lines()
        return [line if container else f"{name} | {line}" for name, line in lines if container in (None, name)]

    def _prepare(self) -> None:
        """Find what is needed, before anything is started."""
        # What docker compose v1 makes of the name, and v2 wants.
        self._project = re.sub(r"[^a-z0-9_-]", "", self.project_name.lower()).lstrip("_-")
        if not self._project:
            raise ValueError(f"{self.project_name!r} has no letter or digit for a docker compose project name")
        self._compose = [*_compose(), "--file", str(self.composition_file), "--project-name", self._project]
        container = re.compile(rf"^{re.escape(self._project)}[-_](.+?)[-_]\d+$")  # shop-web-1, shop_web_1
        self.coverage_paths = [(container.sub(r"\1", name), path) for name, path in self.coverage_paths]
        self._log = tempfile.NamedTemporaryFile()  # noqa: SIM115 - it is closed with the follower
        self._tail = Tail(Path(self._log.name))
        self._follower: subprocess.Popen[bytes] | None = None
        #: Services that may be down.
        self._down: set[str] = set()

    def _begin(self, *, start: bool) -> None:
        """Start what is to be started, and follow it."""
        if start:
            self._dc("stop")
            self._dc("rm", "--force", "-v")
            self._dc("build")
            self._dc("up", "-d")
            self._follow()
        else:
            self._down = {service for _, service, status in self._containers() if not status.startswith("Up")}
            self._follow("--since", datetime.now(UTC).isoformat())

    def _follow(self, *since: str) -> None:
        if self._follower and self._follower.poll() is None:
            return
        self._follower = subprocess.Popen(  # noqa: S603 - docker
            [*self._compose, "logs", "--follow", "--no-color", *since],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is the test run's
        )

    def _containers(self) -> list[list[str]]:
        """Return id, service and status of each."""
        filters = ["--filter", f"label={_LABEL}project={self._project}", "--filter", f"label={_LABEL}oneoff=False"]
        form = f'{{{{.ID}}}}\t{{{{.Label "{_LABEL}service"}}}}\t{{{{.Status}}}}'
        return [row.split("\t") for row in call(["docker", "ps", "--all", *filters, "--format", form]).splitlines()]

    def _look(self) -> None:
        """Put what is new into the journal."""
        for line in self._tail.lines():
            name, _, text = line.partition(" | ")
            self._journal.put(re.sub(r"[-_]\d+$", "", name.strip()), text)  # web-1, web_1
        for identity, service, status in self._containers() if self._began else ():
            exited = _EXITED.match(status)
            if exited and exited[1] != "0" and service not in (*self._down, *self._journal.deaths):
                words = ["docker", "logs", "--tail", str(_LAST_LINES), identity]
                last = call(words, stderr=subprocess.STDOUT).splitlines()
                self._journal.died(service, int(exited[1]), last)

    def _stop_all(self) -> None:
        self._journal.lines()
        self._down.update(service for _, service, _ in self._containers())
        self._dc("stop")

    def _copy(self, container: str, path: str, target: Path) -> None:
        """Copy a file or folder of a stopped container."""
        ids = [identity for identity, service, _ in self._containers() if service == container]
        if not ids:
            raise RuntimeError(f"coverage_paths: there is no container {container} in {self.composition_file}")
        call(["docker", "cp", f"{ids[0]}:{path}", str(target)])

    def _close(self) -> None:
        """End what follows the containers."""
        self._began = False
        if self._follower:
            self._follower.terminate()
            self._follower.wait()
        self._journal.lines()
        self._log.close()

    def _dc(self, *words: str, **kw: Any) -> Any:
        return call([*self._compose, *words], **{"env": {**os.environ, **self.environment}, **kw})


def _wanted(variable: str) -> bool:
    return os.environ.get(variable, "1").lower() not in ("0", "false")


def _container_and_path(given: str) -> tuple[str, str]:
    container, colon, path = given.partition(":")
    if not (container and colon and path):
        raise ValueError(f"coverage_paths: {given!r} is not container:path")
    return container, path


def _compose() -> list[str]:
    for words in (["docker", "compose"], ["docker-compose"]) if shutil.which("docker") else ():
        asked = [*words, "version"]
        if shutil.which(words[0]) and subprocess.run(asked, capture_output=True, check=False).returncode == 0:  # noqa: S603
            return words
    raise RuntimeError(
        "docker compose is not installed (https://docs.docker.com/compose/install/); "
        "LocalComposition runs local processes without it"
    )
