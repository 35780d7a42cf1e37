"""What went wrong lately in this process: its warnings and errors, the same ones as one. Of bounded size."""

import logging
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any

from pyramid.threadlocal import get_current_request

from c2c_broadcast import Masker
from c2c_meta._running import path_of

_MOST = 50
_LONGEST_MESSAGE = 500
_LONGEST_TRACE = 4_000
# A storm of one error costs a count each; its text is made once in so many seconds.
_PAUSE = 1.0
_FORMATTER = logging.Formatter()


@dataclass(slots=True)
class Problem:
    """Records of one place in the code, as one: ``count``, the ``first`` and the ``last`` time, and the last's text."""

    level: str
    logger: str
    place: str
    first: float
    last: float = 0.0
    count: int = 0
    message: str = ""
    trace: str | None = None
    request: str | None = None
    request_id: str | None = None


class Problems(logging.Handler):
    """Keep what is logged from WARNING on. The least recent is forgotten beyond 50."""

    def __init__(self, masker: Masker) -> None:
        super().__init__(logging.WARNING)
        self.masker = masker
        self._found: OrderedDict[tuple[str, int, str, int, str], Problem] = OrderedDict()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record. Never raises; the handler's lock is held."""
        try:
            self._keep(record)
        except Exception:  # noqa: BLE001 # whatever a record holds, who logs must not hear of it
            return

    def _keep(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
        key = (record.name, record.levelno, record.pathname, record.lineno, kind.__name__ if kind else "")
        problem, rendered = self._found.get(key), True
        if problem is None:
            place = f"{'/'.join(record.pathname.rsplit('/', 3)[-3:])}:{record.lineno}"
            problem = self._found[key] = Problem(record.levelname, record.name, place, record.created)
            rendered = False
            if len(self._found) > _MOST:
                self._found.popitem(last=False)
        self._found.move_to_end(key)
        problem.count += 1
        before, problem.last = problem.last, record.created
        if not rendered or record.created - before >= _PAUSE:
            self._render(problem, record)

    def _render(self, problem: Problem, record: logging.LogRecord) -> None:
        problem.message = self.masker(_message(record)[: 2 * _LONGEST_MESSAGE])[:_LONGEST_MESSAGE]
        if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
            text = record.exc_text or _FORMATTER.formatException(record.exc_info)
            problem.trace = self.masker(text[-2 * _LONGEST_TRACE :])[-_LONGEST_TRACE:]
        request = get_current_request()
        if request is not None:
            problem.request = self.masker(f"{request.environ.get('REQUEST_METHOD', '')} {path_of(request)}")
            problem.request_id = getattr(request, "c2c_request_id", None)

    def found(self) -> list[dict[str, Any]]:
        """Return what was kept, the most recent first."""
        self.acquire()
        try:
            return [asdict(problem) for problem in reversed(self._found.values())]
        finally:
            self.release()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 # the arguments' own code runs here
        return f"{type(error).__name__} in a message {record.msg!r}"


def watch(masker: Masker) -> Problems | None:
    """Return the process's handler, put on the root logger where logging is set up; None where it is not.

    Without any handler of its own a service's warnings go to standard error by the root's last resort, and they would
    not any more if there were ours.
    """
    handlers = logging.getLogger().handlers
    for handler in handlers:
        if isinstance(handler, Problems):
            handler.masker = masker
            return handler
    if not handlers:
        return None
    made = Problems(masker)
    logging.getLogger().addHandler(made)
    return made
