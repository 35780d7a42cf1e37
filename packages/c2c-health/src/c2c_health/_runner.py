"""Run checks at the same time, each with a hard deadline and one run in flight, whatever they do."""

import contextlib
import contextvars
import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyramid.interfaces import IRequestFactory
from pyramid.request import Request, apply_request_extensions
from pyramid.threadlocal import manager

from c2c_broadcast import Masker
from c2c_broadcast.process import BusyError, Pool, Worker, at_fork
from c2c_health._check import Check, Degraded, JsonCheckException, Outcome, State, Verdict


@contextmanager
def request_for(request: Any, registry: Any) -> Iterator[Any]:
    """Give ``request``, or, where it is None, a blank one; Pyramid's thread locals know it meanwhile.

    Code far below a check (a patched requests, a session's scope) asks them which request this thread works for.
    """
    own = request is None
    if own:
        request = (registry.queryUtility(IRequestFactory) or Request).blank("/")
        request.registry = registry
    manager.push({"request": request, "registry": registry})
    try:
        if own:
            apply_request_extensions(request)
            transaction = sys.modules.get("transaction")
            if transaction is not None:
                # This thread's, which is ended after each check; an explicit one of the request's nobody would begin.
                request.tm = transaction.manager
        yield request
    finally:
        try:
            if own:
                request._process_finished_callbacks()  # noqa: SLF001 # as pyramid.scripting's closer does
        finally:
            manager.pop()


_LONGEST_MESSAGE = 2_000
_LONGEST_STACK = 20_000
_LONGEST_RESULT = 256 * 1024


class UnfitResultError(Exception):
    """A check returned what a report can't hold."""


class Performer:
    """Run checks of one application. ``masker`` hides what the application knows to be secret.

    ``clean`` are called after each run, in its thread: they give back what the check took (sessions).
    """

    def __init__(self, masker: Masker, registry: Any) -> None:
        self._masker = masker
        self._registry = registry
        self.clean: list[Callable[[], Any]] = []

    def __call__(self, check: Check, request: Any) -> Outcome:
        """Run ``check`` and return what came of it. Raises nothing."""
        begun = time.perf_counter()
        try:
            with request_for(request, self._registry) as given:
                result = _fit(check.run(given))
        except Degraded as error:
            return self._outcome(check, State.DEGRADED, begun, error, error.json)
        except JsonCheckException as error:
            return self._outcome(check, State.FAILED, begun, error, error.json)
        except BaseException as error:  # noqa: BLE001 # the boundary of a check: whatever it raises is its failure
            return self._outcome(check, State.FAILED, begun, error, None)
        else:
            seconds = time.perf_counter() - begun
            return Outcome(State.PASSED, seconds, time.time(), _hidden(result, self._hider(check)))
        finally:
            self._clean_up()

    def _hider(self, check: Check) -> Masker:
        return _Both(Masker(check.secrets), self._masker) if check.secrets else self._masker

    def _outcome(self, check: Check, state: State, begun: float, error: BaseException, content: Any) -> Outcome:
        seconds = time.perf_counter() - begun
        hide = self._hider(check)
        try:
            result = _hidden(_fit(content), hide)
        except UnfitResultError as unfit:
            result = str(unfit)
        message, stack = _cut(message_of(error), hide, _LONGEST_MESSAGE), _cut(_stack(error), hide, _LONGEST_STACK)
        return Outcome(state, seconds, time.time(), result, message, stack)

    def _clean_up(self) -> None:
        for clean in self.clean:
            with contextlib.suppress(Exception):  # the check has its outcome; a session that can't close is gone
                clean()
        # A check that used a session joined to zope's transaction began one in this thread, and nobody else ends it.
        transaction = sys.modules.get("transaction")
        if transaction is not None:
            with contextlib.suppress(Exception):  # as above
                transaction.abort()


_LONGEST_TEXT = 8192


class _Both(Masker):
    """Two maskers, one after the other."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: Masker, second: Masker) -> None:
        super().__init__()
        self._first, self._second = first, second

    def __call__(self, text: str, limit: int | None = _LONGEST_TEXT) -> str:
        return self._second(self._first(text, limit), limit)


def message_of(error: BaseException) -> str:
    """Return what an exception says; its type where it says nothing, or can't."""
    # SQLAlchemy's own text has the statement and its parameters, which are nobody's business.
    original = getattr(error, "orig", None)
    error = original if isinstance(original, BaseException) else error
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 # somebody's __str__
        message = ""
    kind = type(error).__name__
    if not message.strip():
        return kind
    # KeyError('x') says just 'x'.
    return f"{kind}: {message}" if isinstance(error, KeyError) else message


def _cut(text: str, hide: Masker, longest: int) -> str:
    """Hide the secrets in ``text`` and bound its length: in this order, as half a secret is one too."""
    text = hide(text[: 10 * longest].encode("utf-8", "replace").decode())
    return text if len(text) <= longest else f"{text[:longest]}..."


def _hidden(result: Any, hide: Masker) -> Any:
    """Hide the secrets in JSON: in keys, too."""

    def with_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {hide(key): with_keys(item) for key, item in value.items()}
        return [with_keys(item) for item in value] if isinstance(value, list) else value

    return hide.data(with_keys(result)) if result is not None else None


def _stack(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 # as above: a stack is nice to have
        return message_of(error)


def _fit(result: Any) -> Any:
    """Return a copy of ``result`` as JSON has it (RFC 8259).

    Raises:
        UnfitResultError: JSON can't hold it, or it is too large for a report.
    """
    if result is None or isinstance(result, bool):
        return result
    try:
        text = json.dumps(result, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as error:
        raise UnfitResultError(
            f"returned what JSON can't hold ({error}): return a text, a number, a dict or a list"
        ) from None
    if len(text) > _LONGEST_RESULT:
        raise UnfitResultError(f"returned {len(text):,} bytes of JSON: {_LONGEST_RESULT:,} is the most a report takes")
    return json.loads(text)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a check counts as (None before its first run), and how many runs since said otherwise."""

    passing: bool | None = None
    against: int = 0


UNKNOWN = Standing()


def after(standing: Standing, *, passed: bool, failures: int, successes: int) -> Standing:
    """Return the standing after one more run. The first run is believed at once."""
    if standing.passing is None or standing.passing is passed:
        return Standing(passed)
    against = standing.against + 1
    if against >= (successes if passed else failures):
        return Standing(passed)
    return Standing(standing.passing, against)


def verdict(check: Check, standing: Standing, outcome: Outcome) -> Verdict:
    """Return what is reported of a check whose last run had this outcome and led to this standing."""
    if standing.against == 0:
        return Verdict(check.name, check.level, outcome.state, outcome, outcome.message)
    if standing.passing:
        message = f"failed {standing.against} of {check.failures} times before it counts: {outcome.message}"
        return Verdict(check.name, check.level, State.DEGRADED, outcome, message)
    message = f"passed {standing.against} of {check.successes} times before it counts"
    return Verdict(check.name, check.level, State.FAILED, outcome, message)


_LONGEST_WAIT = 60.0
_PHASES = 32


def due(checks: Iterable[Check], begun: Mapping[str, float], now: float) -> tuple[list[Check], float]:
    """Return the checks whose interval is over, and the seconds until the next one's is.

    ``begun`` is when each was run last; one that never was is due.
    """
    ready, wait = [], _LONGEST_WAIT
    for check in checks:
        if check.interval is None:
            continue
        left = begun.get(check.name, -float("inf")) + check.interval - now
        if left <= 0:
            ready.append(check)
            left = check.interval
        wait = min(wait, left)
    return ready, wait


class Interval:
    """Begins them, by a thread that starts with the first use in a process that has such checks."""

    def __init__(
        self,
        checks: Callable[[], Iterable[Check]],
        begin: Callable[[Check], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = checks
        self._begin = begin
        self._clock = clock
        self._begun: dict[str, float] = {}
        self.worker = Worker("c2c-health-interval", self._work)

    def start(self) -> None:
        """Start the thread, unless it runs or has nothing to do."""
        if not self.worker.running and any(check.interval is not None for check in self._checks()):
            self.worker.wake()

    def _work(self) -> float:
        now = self._clock()
        if self.worker.closing:
            return _LONGEST_WAIT
        ready, wait = due(self._checks(), self._begun, now)
        for number, check in enumerate(ready):
            # All begin together; their second runs are spread, or they would meet for ever.
            early = 0.0 if check.name in self._begun else (number % _PHASES) / (2 * _PHASES) * (check.interval or 0)
            self._begun[check.name] = now - early
            self._begin(check)
        return due(self._checks(), self._begun, now)[1] if ready else wait


Perform = Callable[[Check, Any], Outcome]
Heard = Callable[[Check, Outcome, Verdict, bool], None]
"""Called after each run with the check, its outcome, how it stands now, and whether that changed."""


# Seconds; with the default deadline it is less than the 30 after which gunicorn ends a worker.
_LONGEST_PREPARATION = 20.0
_MOST_THREADS = 500
# Seconds for a check that decides nothing in a report: far below the time-outs that probes have.
_MOMENT = 0.25


class _Flight:
    """A run that was begun. ``ready`` is set when its time begins, ``done`` when it ended or its time was over."""

    __slots__ = ("deadline", "done", "overdue", "ready", "started")

    def __init__(self, check: Check, now: float) -> None:
        self.started = now
        self.deadline = now + check.timeout
        self.done = threading.Event()
        self.ready = threading.Event()
        self.overdue = False
        if check.prepare is None:
            self.ready.set()
        else:
            self.deadline += _LONGEST_PREPARATION

    def begin(self, check: Check, now: float) -> None:
        """Let its time begin: all is there that the check needs."""
        self.started, self.deadline = now, now + check.timeout
        self.ready.set()

    def wait(self, clock: Callable[[], float]) -> bool:
        """Wait until it is done, or its time is over; return whether it is done."""
        for event in (self.ready, self.done):
            event.wait(max(0.0, self.deadline - clock()))
        return self.done.is_set()


@dataclass(slots=True)
class _Slot:
    """What is remembered of a check: the run in flight, and the last one."""

    flight: _Flight | None = None
    standing: Standing = UNKNOWN
    verdict: Verdict | None = None
    ended: float = 0.0  # by the clock


class Runner:
    """The runs of one application's checks. ``clock`` is in seconds and never goes back."""

    def __init__(self, perform: Perform, heard: Heard, clock: Callable[[], float] = time.monotonic) -> None:
        self.threads = Pool("c2c-health-check", _MOST_THREADS)
        self._perform = perform
        self._heard = heard
        self._clock = clock
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()
        at_fork(self)

    def run(self, checks: Iterable[Check], request: Any, highest: float = float("inf")) -> dict[str, Verdict]:
        """Return how each check stands, within the longest of their deadlines.

        A check with a good memory (``cache``, ``interval``) is not run; one that another caller runs is waited for; one
        that hangs has failed already. A check above the level ``highest`` decides nothing, so it keeps nobody: after a
        moment it is reported as its last run left it.
        """
        begun = [(check, self._begin(check, request)) for check in checks]
        return {check.name: self._end(check, flight, brief=check.level > highest) for check, flight in begun}

    def remembered(self, checks: Iterable[Check], oldest: float) -> list[Verdict]:
        """Return how each check stood when it was run last; none that is older than ``oldest`` seconds counts."""
        found, now = [], self._clock()
        for check in checks:
            slot = self._slots.get(check.name, _Slot())
            age = now - slot.ended
            if slot.verdict is None:
                found.append(_unknown(check, 0.0, "it has not been run yet"))
            elif age > max(oldest, _good_for(check)):
                found.append(_unknown(check, age, f"it was run last {age:.0f} s ago"))
            else:
                found.append(slot.verdict)
        return found

    def run_again(self, check: Check) -> None:
        """Begin a run of ``check``, which nobody waits for; where one hangs, count it as failed once more."""
        flight = self._begin(check, None, again=True)
        if flight is not None and self._clock() >= flight.deadline:
            self._expire(check, flight, again=flight.overdue)

    def _begin(self, check: Check, request: Any, *, again: bool = False) -> _Flight | None:
        """Begin a run of ``check``, or return the one in flight; None where the last one is still good."""
        now = self._clock()
        with self._lock:
            slot = self._slots.setdefault(check.name, _Slot())
            flight = slot.flight
            if flight is not None:
                return None if check.interval and slot.verdict and now < flight.deadline else flight
            if slot.verdict is not None and not again and now - slot.ended < _good_for(check):
                return None
            flight = slot.flight = _Flight(check, now)
        try:
            # One run in flight a check: when there is a thread for each of them, one is about to be free.
            context = contextvars.copy_context()  # a request's id, a trace: for what the check logs and sends
            job = partial(context.run, self._fly, check, flight, request)
            self.threads.submit(job, kind="checks", limit=len(self._slots))
        except BusyError as error:
            outcome = Outcome(State.FAILED, 0.0, time.time(), message=f"there is no thread to run it: {error}")
            self._settle(check, flight, outcome, again=False, ended=True)
        return flight

    def close(self) -> None:
        """Let the threads end: the idle ones now, the others after their run."""
        self.threads.close()

    def after_fork(self) -> None:
        """Forget the runs in flight: the parent's do not end here."""
        self._lock = threading.Lock()
        for slot in self._slots.values():
            slot.flight = None

    def _fly(self, check: Check, flight: _Flight, request: Any) -> None:
        try:
            if check.prepare is not None:
                with contextlib.suppress(Exception):  # the run meets what is wrong again, and says it
                    check.prepare()
                flight.begin(check, self._clock())
            outcome = self._perform(check, request)
        except BaseException as error:  # noqa: BLE001 # else the check would count as in flight for ever
            outcome = Outcome(State.FAILED, self._clock() - flight.started, time.time(), message=type(error).__name__)
        if self._clock() > flight.deadline:  # which nobody may have waited for
            outcome = self._timed_out(check, flight)
        self._settle(check, flight, outcome, again=False, ended=True)

    def _end(self, check: Check, flight: _Flight | None, *, brief: bool) -> Verdict:
        # Of those who waited for a run that hangs one counts it; who comes later counts it again.
        if flight is not None:
            met_hanging = flight.overdue
            if brief and not met_hanging and self._clock() < flight.deadline:
                if not flight.done.wait(_MOMENT):
                    seconds = self._clock() - flight.started
                    message = f"no answer after {seconds:.2g} s"
                    return self._slots[check.name].verdict or _unknown(check, seconds, message)
            elif met_hanging or not flight.wait(self._clock):
                self._expire(check, flight, again=met_hanging)
        found = self._slots[check.name].verdict
        assert found is not None  # a run that ended left one
        return found

    def _expire(self, check: Check, flight: _Flight, *, again: bool) -> None:
        """Count a run past its deadline as failed; unless ``again``, only if nobody did."""
        self._settle(check, flight, self._timed_out(check, flight, hangs=again), again=again)

    def _timed_out(self, check: Check, flight: _Flight, *, hangs: bool = False) -> Outcome:
        seconds = self._clock() - flight.started
        message = f"timed out after {check.timeout:g} s"
        if hangs:
            message += f", still hanging after {seconds:.0f} s"
        return Outcome(State.FAILED, seconds, time.time(), message=message)

    def _settle(self, check: Check, flight: _Flight, outcome: Outcome, *, again: bool, ended: bool = False) -> None:
        with self._lock:
            slot = self._slots[check.name]
            if slot.flight is not flight:  # it ended just now, after all
                return
            counted = flight.overdue and not again
            if ended:
                slot.flight = None
            else:
                flight.overdue = True
            if not counted:
                before = slot.verdict
                slot.standing = after(
                    slot.standing,
                    passed=outcome.state is not State.FAILED,
                    failures=check.failures,
                    successes=check.successes,
                )
                slot.verdict = now = verdict(check, slot.standing, outcome)
                slot.ended = self._clock()
        if not counted:
            changed = now.state is not (before.state if before else State.PASSED)
            self._heard(check, outcome, now, changed)
        flight.done.set()


def _unknown(check: Check, seconds: float, message: str) -> Verdict:
    outcome = Outcome(State.FAILED, seconds, time.time(), message=message)
    return Verdict(check.name, check.level, State.FAILED, outcome, message)


def _good_for(check: Check) -> float:
    """Return for how many seconds an outcome holds; where nobody runs a check in the background, not for ever."""
    return check.cache if check.interval is None else 2 * check.interval + check.timeout
