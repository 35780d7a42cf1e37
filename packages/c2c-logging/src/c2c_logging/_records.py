"""Log records in half the time.

Most of what a line costs is the standard library making the record: it takes each file's name apart again for every
record. ``QuickRecord`` has the same attributes, with the same values, and remembers the names of files.
"""

import logging
import os
import sys
import threading
from collections.abc import Mapping
from functools import lru_cache
from time import time
from typing import Any

_PROBE = logging.LogRecord("", 0, "", 0, "", (), None)
_START = _PROBE.created - _PROBE.relativeCreated / 1000  # the clock of relativeCreated, whatever Python keeps it in
_TASKS = "taskName" in _PROBE.__dict__  # from Python 3.12 on


class QuickRecord(logging.LogRecord):
    """A LogRecord, attribute by attribute, for what ``Logger`` hands over."""

    def __init__(
        self,
        name: str,
        level: int,
        pathname: str,
        lineno: int,
        msg: Any,
        args: Any,
        exc_info: Any,
        func: str | None = None,
        sinfo: str | None = None,
        **_: Any,
    ) -> None:
        created = time()
        self.name = name
        self.msg = msg
        if args and len(args) == 1:
            (only,) = args
            if type(only) is not str and isinstance(only, Mapping) and only:
                args = only
        self.args = args
        self.levelname = logging.getLevelName(level)
        self.levelno = level
        self.pathname = pathname
        self.filename, self.module = _names(pathname)
        self.exc_info = exc_info
        self.exc_text = None
        self.stack_info = sinfo
        self.lineno = lineno
        self.funcName = func  # type: ignore[assignment] # typeshed has no None, logging has
        self.created = created
        self.msecs = int((created - int(created)) * 1000) + 0.0
        self.relativeCreated = (created - _START) * 1000
        self.thread = threading.get_ident()
        self.threadName = threading.current_thread().name
        self.processName = "MainProcess" if "multiprocessing" not in sys.modules else _process_name()
        self.process = os.getpid()
        if _TASKS:
            self.taskName = _task_name()


def make_records_quickly() -> None:
    """Have ``logging`` make its records as ``QuickRecord``, unless a program chose something else, or what it omits."""
    if (
        logging.getLogRecordFactory() is logging.LogRecord
        and logging.logThreads
        and logging.logProcesses
        and logging.logMultiprocessing
        and getattr(logging, "logAsyncioTasks", True)
        # A Python that is newer than this module may have more to say.
        and list(QuickRecord("", 0, "", 0, "", (), None).__dict__) == list(_PROBE.__dict__)
    ):
        logging.setLogRecordFactory(QuickRecord)


def _process_name() -> str:
    try:
        return str(sys.modules["multiprocessing"].current_process().name)
    except Exception:  # noqa: BLE001 # it may be half imported, by the code that logs
        return "MainProcess"


@lru_cache(maxsize=4096)
def _names(pathname: Any) -> tuple[Any, str]:
    """Return the name of the file and of the module."""
    try:
        filename = os.path.basename(pathname)  # noqa: PTH119 # as logging does, which takes what is no path too
        return filename, os.path.splitext(filename)[0]  # noqa: PTH122 # as above
    except (TypeError, ValueError, AttributeError):
        return pathname, "Unknown module"


def _task_name() -> str | None:
    """Return the name of the asyncio task, None outside of one."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        if asyncio._get_running_loop() is None:  # noqa: SLF001 # what asyncio has for those who only look
            return None
        task = asyncio.current_task()
        return None if task is None else str(task.get_name())
    except Exception:  # noqa: BLE001 # as logging: a name is not worth an error
        return None
