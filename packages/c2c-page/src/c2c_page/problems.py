"""What went wrong lately: the warnings and errors of each process, the same ones as one: ``GET {base}/problems``."""

import hashlib
import logging
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest
from pyramid.threadlocal import get_current_request

from c2c_broadcast import Live, Masker, Section, json_error, masker_of
from c2c_page.members import LAST, ask_all, tell

_KEY = "c2c_page.problems"
_MOST = 100
_LONGEST_MESSAGE = 500
_LONGEST_TRACE = 4_000
_LONGEST_PATH = 200
# A storm of one error costs a count each; its text is made once in so many seconds.
_PAUSE = 1.0
_EVERY = 5.0
_FORMATTER = logging.Formatter()
_ALL = "all"


@dataclass(slots=True)
class Problem:
    """Records of one place in the code, as one: ``count``, the ``first`` and the ``last`` time, and the last's text.

    ``key`` is the same in all processes; ``acknowledged`` is when an operator said that it is known.
    """

    key: str
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
    acknowledged: float | None = None


class Problems(logging.Handler):
    """Keep what is logged from WARNING on. The least recent is forgotten beyond 100."""

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
            digest = hashlib.sha256(repr(key).encode("utf-8", "replace")).hexdigest()[:16]
            place = f"{'/'.join(record.pathname.rsplit('/', 3)[-3:])}:{record.lineno}"
            problem = self._found[key] = Problem(digest, record.levelname, record.name, place, record.created)
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

    def change(self, key: str, *, forget: bool) -> None:
        """Forget a problem, or all of them, or mark them as known."""
        self.acquire()
        try:
            for name in [name for name, problem in self._found.items() if key in (_ALL, problem.key)]:
                self._found[name].acknowledged = time.time()
                if forget:
                    del self._found[name]
        finally:
            self.release()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 # the arguments' own code runs here
        return f"{type(error).__name__} in a message {record.msg!r}"


def path_of(request: Any) -> str:
    """Return a request's path without its query, whatever bytes it has, 200 characters at most."""
    environ = request.environ
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    # WSGI hands paths over as latin-1 (PEP 3333).
    return path.encode("latin-1", "replace").decode("utf-8", "replace")[:_LONGEST_PATH]


def problems_of(registry: Any) -> Problems | None:
    """Return the process's handler, put on the root logger where logging is set up; None where it is not.

    Without any handler of its own a service's warnings go to standard error by the root's last resort, and they would
    not any more if there were ours. The first application's masker stays.
    """
    handlers = logging.getLogger().handlers
    for handler in handlers:
        if isinstance(handler, Problems):
            return handler
    if not handlers:
        return None
    made = Problems(masker_of(registry))
    logging.getLogger().addHandler(made)
    return made


def add(config: Configurator) -> None:
    """Add the view, its section, and what each process answers."""
    registry = config.registry

    def mine(acknowledge: str = "", clear: str = "") -> dict[str, Any]:
        problems = problems_of(registry)
        if problems is None:
            return {"problems": None}
        if acknowledge:
            problems.change(acknowledge, forget=False)
        if clear:
            problems.change(clear, forget=True)
        return {"problems": problems.found()}

    config.action("c2c_page.watch", lambda: problems_of(registry), order=LAST)
    tell(config, "problems", mine)
    config.add_operator_view(_view, name="problems", path="/problems", changes_state=_changes, level="read")
    live = Live(title="Problems", kind="problems", route="c2c_problems", every=_EVERY)
    text = "warnings and errors of all processes, since they started"
    config.add_section(Section(name="problems", title="Problems", order=30, text=text, live=(live,)))


def _changes(request: Any) -> bool:
    return bool(_asked(request))


def _asked(request: Any) -> dict[str, str]:
    parameters = request.params
    return {name: parameters[name] for name in ("acknowledge", "clear") if parameters.get(name)}


def _view(request: Any) -> dict[str, Any]:
    """Return ``{"now", "members": [{"hostname", "pid", "problems"}], "failed", "missing", "complete"}``.

    ``?acknowledge=KEY`` and ``?clear=KEY`` (a problem's ``key``, or ``all``) do so in every process first.
    """
    asked = _asked(request)
    for name, key in asked.items():
        if not key.isalnum():
            raise json_error(HTTPBadRequest, f"{name} is the key of a problem, or {_ALL}")
    return ask_all(request.registry, "problems", asked)
