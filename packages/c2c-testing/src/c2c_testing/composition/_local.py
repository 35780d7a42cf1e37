"""Local processes, with the interface of containers."""

import os
import shlex
import shutil
import socket
import sys
import tomllib
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

import requests

from c2c_testing.composition._compose import Composition, Journal, Tail, call
from c2c_testing.servers import LocalServer, ServerError, free_port
from c2c_testing.utils import check_alarms, retry_timeout

_TABLES = {"environment": dict, "ports": dict, "services": dict}
_KEYS = {
    "command": (str, list),
    "environment": dict,
    "folder": str,
    "ready": (str, int),
    "depends": list,
    "timeout": (int, float),
}
_TRY = 5.0
# The value of ``ready`` for a command that has to end, such as a migration of the database.
_EXIT = "exit"


def _load(data: Mapping[str, Any], folder: Path, variables: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return what each service is, in the order of what depends on what; add the variables.

    Raises:
        ValueError: it is not as it has to be; the message names the place
    """
    _check(data, "", _TABLES)
    for name, port in data.get("ports", {}).items():
        if type(port) is not int or port not in range(65536):
            raise ValueError(f"ports.{name}: {port!r} is no port; 0 is a free one")
        variables[name] = str(port or free_port())
    variables |= _texts(data, variables, "")
    tables = data.get("services") or {}
    if not tables:
        raise ValueError("services: there is none")
    for name, table in tables.items():
        _check(table, f"services.{name}.", _KEYS)
    try:
        order = [*TopologicalSorter({name: tables[name].get("depends", ()) for name in tables}).static_order()]
    except CycleError as error:
        raise ValueError(f"services: they depend on each other: {', '.join(error.args[1])}") from error
    if missing := [name for name in order if name not in tables]:
        raise ValueError(f"services: one depends on {missing[0]}, which there is not")
    return {name: _service(tables[name], f"services.{name}.", folder, variables) for name in order}


def _check(table: Any, place: str, types: Mapping[str, Any]) -> None:
    if not isinstance(table, dict):
        raise ValueError(f"{place.rstrip('.')}: not a table")  # noqa: TRY004 - one error for a wrong file
    for key, value in table.items():
        if key not in types:
            raise ValueError(f"{place}{key}: unknown; there are {', '.join(types)}")
        if not isinstance(value, types[key]) or isinstance(value, bool):
            raise ValueError(f"{place}{key}: {value!r} is of a wrong type")  # noqa: TRY004 - one error for a wrong file


def _service(table: Mapping[str, Any], place: str, folder: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    variables = {**variables, **_texts(table, variables, place)}
    command, ready = table.get("command", ""), table.get("ready")
    if not (words := shlex.split(command) if isinstance(command, str) else command):
        raise ValueError(f"{place}command: missing")
    if ready is not None:
        ready = _text(ready, variables, f"{place}ready")
        ready = int(ready) if ready.isdigit() else ready
        if not (ready in range(1, 65536) or ready == _EXIT or str(ready).startswith(("http://", "https://"))):
            raise ValueError(f"{place}ready: {ready!r} is neither a URL, nor a port, nor {_EXIT!r}")
    return {
        "command": [_text(word, variables, f"{place}command") for word in words],
        "environment": variables,
        "folder": folder / _text(table.get("folder", "."), variables, f"{place}folder"),
        "ready": ready,
        "timeout": float(table.get("timeout", 60)),
    }


def _texts(table: Mapping[str, Any], variables: Mapping[str, str], place: str) -> dict[str, str]:
    values = table.get("environment", {}).items()
    return {name: _text(value, variables, f"{place}environment.{name}") for name, value in values}


def _text(value: Any, variables: Mapping[str, str], place: str) -> str:
    """Return a text with its ``${NAME}``: variables that are given, or our own."""
    if type(value) not in (str, int):  # FLAG = 1
        raise ValueError(f"{place}: {value!r} is not a text")
    try:
        return Template(str(value)).substitute({**os.environ, **variables})
    except KeyError as error:
        raise ValueError(f"{place}: there is no variable {error.args[0]}") from error
    except ValueError as error:
        raise ValueError(f"{place}: {value!r}: a $ that is none of a variable is written $$") from error


class LocalProcess(LocalServer):
    """A service's process and its children, which end with this one, however that ends.

    ``ready`` is a URL, a port of 127.0.0.1, ``exit``, or None: as soon as it is started.
    """

    def __init__(self, name: str, journal: Journal, service: Mapping[str, Any]) -> None:
        self._ready = service["ready"]
        url = urlsplit(str(self._ready))
        port = url.port if url.hostname in (self.host, "localhost") else self._ready
        super().__init__(port if isinstance(port, int) else 0)  # which is always free
        self.start_timeout = service["timeout"]
        self.service = service
        self._name = name
        self._journal = journal
        self._tail = Tail(self.folder / "log")

    def answers(self) -> bool:
        """Tell whether the URL answers with a status below 400, or something listens on the port."""
        try:
            if isinstance(self._ready, int):
                socket.create_connection((self.host, self._ready), timeout=_TRY).close()
            elif self._ready not in (None, _EXIT):
                requests.get(str(self._ready), timeout=_TRY).raise_for_status()
        except (OSError, requests.RequestException):
            return False
        return True

    def _argv(self) -> Sequence[str]:
        return list(self.service["command"])

    def _cwd(self) -> Path:
        return Path(self.service["folder"])

    def _env(self) -> dict[str, str]:
        # The programs beside this Python are found first.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {"PATH": path, "PYTHONUNBUFFERED": "1", **self.service["environment"]}

    def _is_ready(self, pid: int) -> bool:  # noqa: ARG002 - its port was free
        check_alarms()
        return self._ask("code") == 0 if self._ready == _EXIT else self.answers()

    def run(self, *command: str, **kw: Any) -> Any:
        """Run a command as this one, or without one this one's own: see ``LocalComposition.run``."""
        own = {**os.environ, **self._env(), **kw.pop("env", {})}
        return call(command or self._argv(), env=own, **{"cwd": self._cwd(), **kw})

    def look(self) -> None:
        """Note what it said since the last look, and its death."""
        pid, code = self._pid, self._ask("code")
        for line in self._tail.lines():
            self._journal.put(self._name, line)
        if code is not None and pid is not None and pid == self._pid:  # nobody stopped it, or started it anew
            self._pid = None
            if code:
                self._journal.died(self._name, code, self.log_text().splitlines())


class LocalComposition(Composition):
    """Local processes with the interface of ``Composition``, for machines without docker.

    Each service starts when those that it depends on are ready, and all end with the test run, however that ends:
    ``docker_stop=0`` can't leave them running. With ``docker_start=0`` it waits for the services' URLs and ports;
    what was started elsewhere can't be stopped here.

    The README has the keys of the composition.toml. ``coverage_paths`` are relative to the service's folder;
    ``environment`` are more variables for the processes and for ``${NAME}``, such as the URL of a fixture's database.

    Raises:
        ValueError: the file is not as it has to be; the message names the place
        ServerError: a command or its port is not there, or it is not ready in its time; the message has its last lines
        ContainerDiedError: a process died during the start
    """

    def _prepare(self) -> None:
        try:
            data = tomllib.loads(self.composition_file.read_text(encoding="utf-8"))
            self._services = _load(data, self.composition_file.parent, self.environment)
        except ValueError as error:  # of TOML and UTF-8 as well
            raise ValueError(f"{self.composition_file}: {error}") from error
        self._processes: dict[str, LocalProcess] = {}
        for container, _ in self.coverage_paths:
            self._known(container)

    def _look(self) -> None:
        for process in tuple(self._processes.values()):
            process.look()

    def _begin(self, *, start: bool) -> None:
        self._starts = start
        for name, service in self._services.items():
            process = self._processes[name] = LocalProcess(name, self._journal, service)
            if start:
                self.start(name)
            else:
                retry_timeout(process.answers, process.start_timeout)

    def start(self, container: str) -> None:
        """Start a process that was stopped, or died, and wait until it is ready."""
        process = self._process(container)
        self._journal.deaths.pop(container, None)
        try:
            process.start()
        except ServerError as error:
            self._journal.check()
            raise type(error)(f"{container}: {error}") from error
        self._journal.check()

    def stop(self, container: str) -> None:
        """Stop a process, and its children."""
        process = self._process(container)
        self._journal.lines()  # a death before that stays one
        process.stop()
        self._journal.lines()

    def run(self, container: str, *command: str, **kw: Any) -> Any:
        """Run a command with that service's environment, in its folder; without a command, the service's own.

        For the rest it is as that of ``Composition``; ``env`` are more variables.
        """
        return self._process(container).run(*command, **kw)

    def exec(self, container: str, *command: str, **kw: Any) -> Any:
        """Run a command as ``run`` does, while the process runs."""
        if not self._process(container).running:
            raise RuntimeError(f"{container} is not running")
        return self.run(container, *command, **kw)

    def _stop_all(self) -> None:
        for name in reversed(self._processes) if self._starts else ():
            self.stop(name)

    def _copy(self, container: str, path: str, target: Path) -> None:
        source = self._services[container]["folder"] / path
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)

    def _close(self) -> None:
        self._journal.lines()
        processes, self._processes = self._processes, {}
        for process in processes.values():
            process.close()

    def _known(self, name: str) -> None:
        if name not in self._services:
            raise ValueError(f"{self.composition_file} has no service {name!r}; it has {', '.join(self._services)}")

    def _process(self, name: str) -> LocalProcess:
        self._known(name)
        if not self._starts:
            raise RuntimeError(f"{name} was not started here (docker_start=0)")
        return self._processes[name]
