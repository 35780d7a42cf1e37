"""Containers, by docker compose."""

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from c2c_testing.composition._base import BaseComposition
from c2c_testing.composition._commands import call
from c2c_testing.composition._follower import Follower


class Composition(BaseComposition):
    """The containers of a docker compose file: ``docker compose`` (v2), else ``docker-compose``.

    Containers of an earlier run are stopped and removed, with their anonymous volumes; then images are built and
    containers started. They are stopped, but not removed, at the end: what they left can be looked at.

    Args:
        request: pytest's fixture of this name
        project_name: of docker compose
        composition_file: the docker compose file
        coverage_paths: ``service:path`` or ``container:path``, copied by ``stop_all``

    Raises:
        RuntimeError: docker compose is not installed
        CommandError: a command of docker failed; the message has the end of its output
        ContainerDiedError: a container died during the start
    """

    def _prepare(self) -> None:
        # What docker compose v1 makes of the name, and v2 wants.
        self._project = re.sub(r"[^a-z0-9_-]", "", self.project_name.lower()).lstrip("_-")
        if not self._project:
            raise ValueError(f"{self.project_name!r} has no letter or digit for a docker compose project name")
        self._compose = [*_compose(), "--file", str(self.composition_file), "--project-name", self._project]
        self.coverage_paths = [(self._service(name), path) for name, path in self.coverage_paths]
        self._follower = Follower(self._project, self._journal)

    def _begin(self, *, start: bool) -> None:
        if start:
            self._dc("stop")
            self._dc("rm", "--force", "-v")
            self._dc("build")
        self._follower.begin(time.time())
        if start:
            self._dc("up", "-d")

    def start(self, container: str) -> None:
        """Start a container that was stopped, or died."""
        self._journal.lives(container)
        self._dc("start", container)

    def stop(self, container: str) -> None:
        """Stop a container."""
        self._dc("stop", container)

    def restart(self, container: str) -> None:
        """Stop and start a container."""
        self._journal.lives(container)
        self._dc("restart", container)

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

    def _stop_all(self) -> None:
        self._dc("stop")

    def _copy(self, container: str, path: str, target: Path) -> None:
        labels = (f"project={self._project}", f"service={container}", "oneoff=False")
        filters = (word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}"))
        ids = call(["docker", "ps", "--all", "--quiet", *filters]).split()
        if not ids:
            raise RuntimeError(f"coverage_paths: there is no container {container} in {self.composition_file}")
        for number, identity in enumerate(ids):
            call(["docker", "cp", f"{identity}:{path}", f"{target}-{number + 1}" if number else str(target)])

    def _close(self) -> None:
        self._follower.close()

    def _dc(self, *words: str, **kw: Any) -> Any:
        return call([*self._compose, *words], **kw)

    def _service(self, name: str) -> str:
        # project-service-1, project_service_1
        return re.sub(rf"^{re.escape(self._project)}[-_](.+?)[-_]\d+$", r"\1", name)


def _compose() -> list[str]:
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)  # noqa: S607 - PATH
        if asked.returncode == 0:
            return ["docker", "compose"]
        if shutil.which("docker-compose"):
            return ["docker-compose"]
    raise RuntimeError(
        "docker compose is not installed (https://docs.docker.com/compose/install/); "
        "LocalComposition runs local processes without it"
    )
