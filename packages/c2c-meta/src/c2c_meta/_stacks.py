"""Where a worker that gunicorn gives up hung, even if it never runs another line of Python.

A worker writes its threads' stacks to a file in memory that the master opened before the fork, from a C signal
handler (``faulthandler``): this works while a thread holds the interpreter for ever, and at a segmentation fault too.
The master reads the file when the worker is gone.
"""

import faulthandler
import os
import signal
import tempfile
from typing import IO, Any

_MOST = 16_000  # characters of one report


class Stacks:
    """The files of a master's workers."""

    def __init__(self) -> None:
        self._files: dict[Any, IO[bytes]] = {}

    def open(self, worker: Any) -> None:
        """Open a worker's file, before the fork."""
        if hasattr(os, "memfd_create"):  # Linux; a container may have no folder that can be written to
            self._files[worker] = os.fdopen(os.memfd_create("c2c-stacks"), "w+b")
        else:
            self._files[worker] = tempfile.TemporaryFile()  # noqa: SIM115 - close() closes it

    def keep_only(self, worker: Any) -> None:
        """Close the other workers' files, in a worker."""
        for other in [other for other in self._files if other is not worker]:
            self._files.pop(other).close()

    def watch(self, worker: Any) -> None:
        """Have this process write its threads' stacks when it is aborted, before its own handler of SIGABRT runs."""
        faulthandler.disable()  # where it is on already, the handlers that it keeps are older than gunicorn's
        aborted = signal.getsignal(signal.SIGABRT)
        if callable(aborted):
            signal.signal(signal.SIGABRT, aborted)
        faulthandler.enable(self._files[worker])

    def close(self, worker: Any) -> str:
        """Return what a worker that is gone wrote, "" if nothing, and forget it."""
        with self._files.pop(worker) as file:
            file.seek(0)
            text = file.read(_MOST + 1).decode(errors="replace")
        return text if len(text) <= _MOST else f"{text[:_MOST]}\n(cut)"
