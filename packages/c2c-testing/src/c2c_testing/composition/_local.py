"""Local processes, with the interface of containers."""

import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from c2c_testing._alarms import check_alarms
from c2c_testing.composition._base import BaseComposition
from c2c_testing.composition._commands import call
from c2c_testing.composition._description import EXIT, Service, load
from c2c_testing.composition._process import LocalProcess, answers

_LOOK = 0.1
_POLL = 0.05
_CLOSE_TIMEOUT = 60.0


class LocalComposition(BaseComposition):
    """Local processes with the interface of ``Composition``, for machines without docker.

    Each service starts when those that it depends on are ready, and all end with the test run, however that ends:
    ``docker_stop=0`` can't leave them running. With ``docker_start=0`` it waits for the services' URLs and ports;
    what was started elsewhere can't be stopped here.

    Args:
        request: pytest's fixture of this name
        project_name: what messages call it
        composition_file: the ``composition.toml``; the README has its keys
        coverage_paths: ``service:path``, relative to the service's folder, copied by ``stop_all``
        environment: more variables for the processes and for ``${NAME}``, such as the URL of a fixture's database

    Raises:
        ValueError: the file is not as it has to be; the message names the place
        ServerError: a command or its port is not there
        ContainerDiedError: a process died during the start
        TimeoutError: a service is not ready in its time; the message has its last lines
    """

    def __init__(
        self,
        request: Any,
        project_name: str,
        composition_file: str | os.PathLike[str],
        coverage_paths: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._given = dict(environment or {})
        super().__init__(request, project_name, composition_file, coverage_paths)

    def _prepare(self) -> None:
        self._description = load(self.composition_file, self._given)
        #: The variables of all processes: those given, the ports and the environment of the file.
        self.environment: Mapping[str, str] = self._description.environment
        self._processes: dict[str, LocalProcess] = {}
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True, name="LocalComposition")
        for container, _ in self.coverage_paths:
            self._service(container)

    def _begin(self, *, start: bool) -> None:
        self._watch.start()
        for group in self._description.order():
            for name in group if start else ():
                self._processes[name] = LocalProcess(self._service(name), self._journal)
                self._start(name)
            for name in group:
                self._wait(name)

    def start(self, container: str) -> None:
        """Start a process that was stopped, or died, and wait until it is ready."""
        self._process(container)
        self._start(container)
        self._wait(container)

    def stop(self, container: str) -> None:
        """Stop a process, and its children."""
        process = self._process(container)
        with self._lock:
            process.stop()

    def restart(self, container: str) -> None:
        """Stop and start a process, and wait until it is ready."""
        self.stop(container)
        self.start(container)

    def run(self, container: str, *command: str, **kw: Any) -> Any:
        """Run a command with that service's environment, in its folder; without a command, the service's own.

        Returns its standard output, a text; ``kw`` are those of subprocess.run: ``input``, ``timeout``,
        ``check=False``, ``env`` with more variables, ...

        Raises:
            CommandError: the command ended with another status than 0
        """
        process = self._process(container)
        own = {**os.environ, **process.environment, **kw.pop("env", {})}
        return call(command or process.service.command, env=own, **{"cwd": process.service.folder, **kw})

    def exec(self, container: str, *command: str, **kw: Any) -> Any:
        """Run a command as ``run`` does, while the process runs."""
        if not self._process(container).running:
            raise RuntimeError(f"{container} is not running")
        return self.run(container, *command, **kw)

    def _stop_all(self) -> None:
        for group in reversed(self._description.order()):
            for name in group:
                if name in self._processes:
                    self.stop(name)

    def _copy(self, container: str, path: str, target: Path) -> None:
        source = self._service(container).folder / path
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)

    def _close(self) -> None:
        self._ended.set()
        if self._watch.is_alive():
            self._watch.join(_CLOSE_TIMEOUT)
        for process in self._processes.values():
            process.close()

    def _service(self, name: str) -> Service:
        services = self._description.services
        if name not in services:
            raise ValueError(f"{self.composition_file} has no service {name!r}; it has {', '.join(services)}")
        return services[name]

    def _process(self, name: str) -> LocalProcess:
        self._service(name)
        if name not in self._processes:
            raise RuntimeError(f"{name} was not started here (docker_start=0)")
        return self._processes[name]

    def _start(self, name: str) -> None:
        with self._lock:
            self._processes[name].start()

    def _wait(self, name: str) -> None:
        service = self._service(name)
        process = self._processes.get(name)
        deadline = time.monotonic() + service.timeout
        while not (process.is_ready() if process else answers(service.ready)):
            has_ended = process and not process.running  # asked before the look, which then sees its last words
            self._look_once()
            check_alarms()
            if has_ended and service.ready != EXIT:
                raise RuntimeError(f"{name} ended with status 0 before it was ready:\n{self._last(name)}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is not ready after {service.timeout} s:\n{self._last(name)}")
            time.sleep(_POLL)
        self._look_once()
        check_alarms()

    def _last(self, name: str) -> str:
        return "\n".join(self.logs(name)[-30:])

    def _look(self) -> None:
        while not self._ended.wait(_LOOK):
            self._look_once()

    def _look_once(self) -> None:
        with self._lock:
            for process in tuple(self._processes.values()):
                process.look()
