"""Local processes, with the interface of containers."""

import os
import shlex
import shutil
import socket
import sys
import threading
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

import requests

from c2c_testing.composition._base import BaseComposition, Journal, call
from c2c_testing.servers import Keeper, PortBusyError, ServerError, free_port, is_free
from c2c_testing.servers._places import HOST
from c2c_testing.utils import check_alarms

_KEYS = {
    "command": (str, list),
    "environment": (dict,),
    "folder": (str,),
    "ready": (str, int),
    "depends": (list,),
    "timeout": (int, float),
}
_TOP = ("environment", "ports", "services")
_TIMEOUT = 60.0
#: The value of ``ready`` for a command that has to end, such as a migration of the database.
EXIT = "exit"


class DescriptionError(ValueError):
    """The composition.toml is not as it has to be; the message names the file and the place."""


@dataclass(frozen=True, slots=True)
class Service:
    """One local process: ``ready`` is a URL, a port of 127.0.0.1, ``exit``, or None: as soon as it is started."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    ready: str | int | None
    depends: tuple[str, ...]
    timeout: float


@dataclass(frozen=True, slots=True)
class Description:
    """The services, and the variables that all of them have."""

    services: Mapping[str, Service]
    environment: Mapping[str, str] = field(repr=False)

    def order(self) -> list[list[str]]:
        """Return the services' names in groups: each depends on those of earlier groups only."""
        sorter = TopologicalSorter({service.name: service.depends for service in self.services.values()})
        sorter.prepare()
        groups = []
        while sorter.is_active():
            groups.append(sorted(sorter.get_ready()))
            sorter.done(*groups[-1])
        return groups


def load(path: Path, given: Mapping[str, str]) -> Description:
    """Read the file; ``${NAME}`` in its values is a variable of ``given``, the file or ``os.environ``.

    Raises:
        DescriptionError: it is not as it has to be
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DescriptionError(f"{path}: {error}") from error
    reader = _Reader(path)
    reader.known(data, _TOP, "")
    variables = dict(given)
    for name, port in reader.table(data, "ports").items():
        if type(port) is not int or port not in range(65536):
            raise reader.error(f"ports.{name}", f"{port!r} is no port; 0 is a free one")
        variables[name] = str(port or free_port())
    variables |= reader.strings(reader.table(data, "environment"), variables, "environment")
    services = reader.table(data, "services")
    if not services:
        raise reader.error("services", "there is none")
    found = {name: reader.service(name, table, variables) for name, table in services.items()}
    for service in found.values():
        for other in service.depends:
            if other not in found:
                raise reader.error(f"services.{service.name}.depends", f"there is no service {other}")
    description = Description(found, variables)
    try:
        description.order()
    except CycleError as error:
        raise reader.error("services", f"they depend on each other: {', '.join(error.args[1])}") from error
    return description


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def error(self, place: str, what: str) -> DescriptionError:
        return DescriptionError(f"{self._path}: {place}: {what}")

    def known(self, table: Mapping[str, Any], names: Any, place: str) -> None:
        for name in table:
            if name not in names:
                raise self.error(f"{place}{name}", f"unknown; there are {', '.join(names)}")

    def table(self, data: Mapping[str, Any], name: str) -> dict[str, Any]:
        table = data.get(name, {})
        if not isinstance(table, dict):
            raise self.error(name, "not a table")
        return table

    def service(self, name: str, table: Any, variables: Mapping[str, str]) -> Service:
        place = f"services.{name}"
        if not isinstance(table, dict):
            raise self.error(place, "not a table")
        self.known(table, _KEYS, f"{place}.")
        for key, value in table.items():
            if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
                raise self.error(f"{place}.{key}", f"{value!r} is of a wrong type")
        environment = {**variables, **self.strings(table.get("environment", {}), variables, f"{place}.environment")}
        command = table.get("command", "")
        if not (words := shlex.split(command) if isinstance(command, str) else command):
            raise self.error(f"{place}.command", "missing")
        return Service(
            name,
            tuple(self.text(word, environment, f"{place}.command") for word in words),
            environment,
            self._path.parent / self.text(table.get("folder", "."), environment, f"{place}.folder"),
            self._ready(table.get("ready"), environment, f"{place}.ready"),
            tuple(self.text(other, environment, f"{place}.depends") for other in table.get("depends", ())),
            float(table.get("timeout", _TIMEOUT)),
        )

    def _ready(self, given: str | int | None, variables: Mapping[str, str], place: str) -> str | int | None:
        ready: str | int | None = self.text(given, variables, place) if isinstance(given, str) else given
        if isinstance(ready, str) and ready.isdigit():
            ready = int(ready)
        url = isinstance(ready, str) and ready.startswith(("http://", "https://"))
        port = isinstance(ready, int) and 0 < ready < 65536  # noqa: PLR2004 - RFC 9293
        if not (url or port or ready in (None, EXIT)):
            raise self.error(place, f"{ready!r} is neither a URL, nor a port, nor {EXIT!r}")
        return ready

    def strings(self, table: Mapping[str, Any], variables: Mapping[str, str], place: str) -> dict[str, str]:
        return {name: self.text(value, variables, f"{place}.{name}") for name, value in table.items()}

    def text(self, value: Any, variables: Mapping[str, str], place: str) -> str:
        if type(value) is int:  # FLAG = 1
            return str(value)
        if not isinstance(value, str):
            raise self.error(place, f"{value!r} is not a text")
        try:
            return Template(value).substitute({**os.environ, **variables})
        except KeyError as error:
            raise self.error(place, f"there is no variable {error.args[0]}") from error
        except ValueError as error:
            raise self.error(place, f"{value!r}: a $ that is none of a variable is written $$") from error


_HERE = (HOST, "localhost")
_GRACE = 5.0
_STOP_SIGNAL = 15
_STOP_TIMEOUT = 30.0
_TRY = 5.0


class LocalProcess:
    """A service's process and its children, which end with this one, however that ends."""

    def __init__(self, service: Service, journal: Journal) -> None:
        self.service = service
        self._journal = journal
        self._keeper = Keeper(os.geteuid())
        self._read = 0
        self._rest = ""
        self._wanted = False  # to run: its end is nobody's will
        self._was_started = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its own; the programs beside this Python are found first."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {"PATH": path, "PYTHONUNBUFFERED": "1", **self.service.environment}

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._keeper.is_running()

    def start(self) -> None:
        """Start it; nothing when it lives."""
        if self._keeper.is_running():
            return
        self._keeper.kill()  # what a dead main process left
        self._wait_for_port()
        self._journal.lives(self.service.name)
        try:
            self._keeper.start(self.service.command, self.environment, self.service.folder)
        except ServerError as error:
            raise ServerError(f"{self.service.name}: {error}") from error
        self._wanted = self._was_started = True

    def stop(self) -> None:
        """SIGTERM, SIGKILL to what is left; a death before that stays one."""
        self.look()
        self._wanted = False
        self._keeper.stop(_STOP_SIGNAL, _STOP_TIMEOUT)
        self._read_log()

    def look(self) -> None:
        """Note what it said since the last look, and its death."""
        code = self._keeper.exit_code()
        self._read_log()
        if self._wanted and code is not None:
            self._wanted = False
            self._flush()
            if code:
                self._journal.died(self.service.name, code)

    def is_ready(self) -> bool:
        """Tell whether it is; an exit status of 0 is ready for those that have to end."""
        ready = self.service.ready
        if ready == EXIT:
            return self._keeper.exit_code() == 0
        return answers(ready)

    def close(self) -> None:
        """Kill it and remove its folder."""
        self._keeper.close()

    def _wait_for_port(self) -> None:
        port = _port_of(self.service.ready)
        deadline = time.monotonic() + (_GRACE if self._was_started else 0)  # an earlier one's connections may hold it
        while port and not is_free(port):
            if time.monotonic() > deadline:
                raise PortBusyError(f"{self.service.name}: port {port} of {HOST} is busy: stop what listens there")
            time.sleep(_POLL)

    def _read_log(self) -> None:
        try:
            with (self._keeper.folder / "log").open("rb") as log:
                log.seek(self._read)
                data = log.read()
        except FileNotFoundError:
            return
        self._read += len(data)
        *lines, self._rest = (self._rest + data.decode(errors="replace")).split("\n")
        for line in lines:
            self._journal.put(self.service.name, line)

    def _flush(self) -> None:
        if self._rest:
            self._journal.put(self.service.name, self._rest)
            self._rest = ""


def answers(ready: str | int | None) -> bool:
    """Tell whether a URL answers with a status below 400, or something listens on a port."""
    try:
        if isinstance(ready, int):
            socket.create_connection((HOST, ready), timeout=_TRY).close()
        elif ready is not None and ready != EXIT:
            requests.get(ready, timeout=_TRY).raise_for_status()
    except (OSError, requests.RequestException):
        return False
    return True


def _port_of(ready: str | int | None) -> int | None:
    if isinstance(ready, int) or ready in (None, EXIT):
        return ready if isinstance(ready, int) else None
    url = urlsplit(str(ready))
    return url.port if url.hostname in _HERE else None


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
