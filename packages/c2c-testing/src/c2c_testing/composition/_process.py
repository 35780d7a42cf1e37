"""One local process of a composition."""

import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import requests

from c2c_testing.composition._description import EXIT, Service
from c2c_testing.composition._journal import Journal
from c2c_testing.servers import Keeper, PortBusyError, ServerError, is_free
from c2c_testing.servers._places import HOST

_HERE = (HOST, "localhost")
_GRACE = 5.0
_STOP_SIGNAL = 15
_STOP_TIMEOUT = 30.0
_POLL = 0.05
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
