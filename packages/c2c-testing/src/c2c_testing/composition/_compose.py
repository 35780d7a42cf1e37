"""Containers, by docker compose."""

import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from c2c_testing.composition._base import BaseComposition, CommandError, Journal, call

_LABEL = "com.docker.compose."
_LAST_LINES_TIMEOUT = 10.0
_END_TIMEOUT = 10.0


class Follower:
    """A thread that reads the events, and one for the log of each running container."""

    def __init__(self, project: str, journal: Journal) -> None:
        self._filter = ["--filter", f"label={_LABEL}project={project}"]
        self._journal = journal
        self._lock = threading.RLock()
        self._closing = False
        self._processes: list[subprocess.Popen[str]] = []
        self._logs: dict[str, threading.Thread] = {}
        # Containers that someone ended: by docker stop, restart, kill.
        self._killed: set[str] = set()

    def begin(self, since: float) -> None:
        """Follow the containers that run, and what happens after ``since`` (seconds of the epoch)."""
        actions = [word for action in ("start", "kill", "die") for word in ("--filter", f"event={action}")]
        words = ["docker", "events", "--since", f"{since:.9f}", *self._filter, *actions, "--format", "{{json .}}"]
        self._thread("events", self._read_events, self._popen(words))
        for line in call(["docker", "ps", *self._filter, "--format", "{{json .}}"]).splitlines():
            container = json.loads(line)
            labels = dict(label.partition("=")[::2] for label in container["Labels"].split(","))
            self._follow(container["ID"], labels, f"{since:.9f}")

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._closing = True
            processes = list(self._processes)
        for process in processes:
            process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_TIMEOUT)
            process.kill()
            process.wait()
        for thread in list(self._logs.values()):
            thread.join(_END_TIMEOUT)

    def _popen(self, words: Sequence[str]) -> "subprocess.Popen[str]":
        with self._lock:
            if self._closing:
                raise RuntimeError("The composition has ended")
            process = subprocess.Popen(  # noqa: S603 - docker
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is the test run's
            )
            self._processes.append(process)
        return process

    def _thread(self, name: str, target: Any, *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, daemon=True, name=f"Composition {name}")
        thread.start()
        return thread

    def _read_events(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                    self._event(line)

    def _event(self, line: str) -> None:
        try:
            event = json.loads(line)
            action, actor = event["Action"], event["Actor"]
        except (ValueError, KeyError, TypeError):
            self._journal.put("docker events", line)  # what it has to say is no event: an error
            return
        identity, attributes = actor["ID"], actor["Attributes"]
        if action == "start":
            self._killed.discard(identity)
            self._follow(identity, attributes, f"{event['timeNano'] // 10**9}.{event['timeNano'] % 10**9:09d}")
        elif action == "kill":
            self._killed.add(identity)
        elif action == "die":
            self._die(identity, attributes)

    def _die(self, identity: str, attributes: dict[str, str]) -> None:
        log = self._logs.pop(identity[:12], None)
        if log:
            log.join(_LAST_LINES_TIMEOUT)
        status = int(attributes.get("exitCode", "1"))
        single = attributes.get(f"{_LABEL}oneoff") == "True"  # its exit status is what ``run`` gives
        if status and not single and identity not in self._killed and not _comes_back(identity):
            self._journal.died(_service(attributes), status)

    def _follow(self, identity: str, attributes: dict[str, str], since: str) -> None:
        short = identity[:12]  # docker ps gives no more
        with self._lock:
            if short not in self._logs:  # docker ps and the event may tell of the same start
                process = self._popen(["docker", "logs", "--follow", "--since", since, identity])
                self._logs[short] = self._thread(f"log of {short}", self._read_log, process, _service(attributes))

    def _read_log(self, process: "subprocess.Popen[str]", service: str) -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                self._journal.put(service, line)
        process.wait()
        with self._lock, contextlib.suppress(ValueError):
            self._processes.remove(process)


def _service(attributes: dict[str, str]) -> str:
    return attributes.get(f"{_LABEL}service") or attributes.get("name", "a container")


def _comes_back(identity: str) -> bool:
    """Tell whether docker starts it again, by the restart policy of the docker compose file."""
    try:
        state = call(["docker", "inspect", "--format", "{{.State.Status}}", identity]).strip()
    except CommandError:
        return False  # it is removed
    return state in ("restarting", "running")


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
