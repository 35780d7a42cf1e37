"""Read a ``composition.toml``."""

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from string import Template
from typing import Any

from c2c_testing.servers import free_port

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
