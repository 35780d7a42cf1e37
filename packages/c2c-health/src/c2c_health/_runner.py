"""Run checks at the same time, each with a hard deadline and one run in flight, whatever they do."""

import contextlib
import contextvars
import json
import random
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pyramid.interfaces import IRequestFactory
from pyramid.request import Request, apply_request_extensions
from pyramid.threadlocal import RequestContext

from c2c_broadcast import Masker
from c2c_broadcast.process import BusyError, Pool, Worker, at_fork
from c2c_health._check import Check, Degraded, JsonCheckException, State, Verdict

_LONGEST_MESSAGE = 2_000
_LONGEST_RESULT = 256 * 1024
_LONGEST_PREPARATION = 20.0  # seconds; with the default deadline less than the 30 that gunicorn gives a worker
_MOST_THREADS = 500
_MOMENT = 0.25  # seconds for a check that decides nothing in a report: far below the time-outs of probes
_LONGEST_WAIT = 60.0
_OLDEST = 30.0  # seconds, of what is in memory
_LOOK_AGAIN = 0.05  # whether a preparation has ended


@contextmanager
def request_for(request: Any, registry: Any) -> Iterator[Any]:
    """Give ``request``, or, where it is None, a blank one; Pyramid's thread locals know it meanwhile.

    Code far below a check (a patched requests, a session's scope) asks them which request this thread works for.
    """
    own = request is None
    if own:
        request = (registry.queryUtility(IRequestFactory) or Request).blank("/")
        request.registry = registry
    with RequestContext(request):
        if not own:
            yield request
            return
        apply_request_extensions(request)
        transaction = sys.modules.get("transaction")
        if transaction is not None:
            # This thread's, which is ended after each check; an explicit one of the request's nobody would begin.
            request.tm = transaction.manager
        try:
            yield request
        finally:
            request._process_finished_callbacks()  # noqa: SLF001 # as pyramid.scripting's closer does


@dataclass(slots=True)
class _Flight:
    """A run that was begun. ``done`` is set when it ended or its time was over."""

    started: float
    deadline: float
    done: threading.Event
    overdue: bool = False

    def wait(self, clock: Callable[[], float]) -> bool:
        """Wait until it is done, or its time is over, which begins after the preparation; return whether it is."""
        while (left := self.deadline - clock()) > 0 and not self.done.wait(min(left, _LOOK_AGAIN)):
            pass
        return self.done.is_set()


@dataclass(slots=True)
class _Slot:
    """What is remembered of a check: the run in flight, and how it stands."""

    flight: _Flight | None = None
    passing: bool | None = None  # None before its first run, which is believed at once
    against: int = 0  # runs since that said otherwise
    verdict: Verdict | None = None
    ended: float = 0.0  # by the clock

    def take(self, check: Check, outcome: Verdict, now: float) -> bool:
        """Take in what a run gave; return whether the check's state is another one now."""
        self.ended = now
        before = self.verdict.state if self.verdict else State.PASSED
        passed = outcome.passing
        self.against = 0 if self.passing in (None, passed) else self.against + 1
        if self.passing is None or self.against >= (check.successes if passed else check.failures):
            self.passing, self.against = passed, 0
        state, message = outcome.state, outcome.message
        if self.against and passed:
            state, message = State.FAILED, f"passed {self.against} of {check.successes} times before it counts"
        elif self.against:
            state = State.DEGRADED
            message = f"failed {self.against} of {check.failures} times before it counts: {message}"
        self.verdict = replace(outcome, state=state, message=message)
        return state is not before


class Runner:
    """The runs of one application's checks. ``masker`` hides what the application knows to be secret.

    ``heard`` is called after each with the check, what the run gave, how the check stands now, and whether it changed.
    """

    def __init__(self, registry: Any, masker: Masker, heard: Callable[[Check, Verdict, Verdict, bool], None]) -> None:
        self.threads = Pool("c2c-health-check", _MOST_THREADS)
        self.clean: list[Callable[[], Any]] = []
        """Called after each run, in its thread: they give back what the check took (sessions)."""
        self._registry = registry
        self._masker = masker
        self._heard = heard
        self._clock = time.monotonic
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()
        self._background: list[tuple[Check, float]] = []
        self._due: dict[str, float] = {}
        self._interval = Worker("c2c-health-interval", self._run_those_due)
        at_fork(self)

    def after_fork(self) -> None:
        """Forget the runs in flight: the parent's do not end here."""
        self._lock = threading.Lock()
        for slot in self._slots.values():
            slot.flight = None

    def close(self) -> None:
        """Let the threads end: the idle ones now, the others after their run. What is run later starts them again."""
        self._interval.close(1)
        self.threads.close()

    def run(self, checks: Iterable[Check], request: Any, highest: float = float("inf")) -> dict[str, Verdict]:
        """Return how each check stands, within the longest of their deadlines.

        A check with a good memory (``cache``, ``interval``) is not run; one that another caller runs is waited for; one
        that hangs has failed already. A check above the level ``highest`` decides nothing, so it keeps nobody: after a
        moment it is reported as its last run left it.
        """
        begun = [(check, self._begin(check, request)) for check in checks]
        return {check.name: self._end(check, flight, brief=check.level > highest) for check, flight in begun}

    def remembered(self, checks: Iterable[Check]) -> list[Verdict]:
        """Return how each check stood when it was run last; what is too old does not count."""
        found, now = [], self._clock()
        for check in checks:
            slot = self._slots.get(check.name, _Slot())
            age = now - slot.ended
            if slot.verdict is None:
                found.append(_failed(check, "it has not been run yet"))
            elif age > max(_OLDEST, _good_for(check)):
                found.append(_failed(check, f"it was run last {age:.0f} s ago", age))
            else:
                found.append(slot.verdict)
        return found

    def run_again(self, check: Check) -> None:
        """Begin a run of ``check``, which nobody waits for; where one hangs, count it as failed once more."""
        flight = self._begin(check, None, again=True)
        if flight is not None and self._clock() >= flight.deadline:
            self._settle(check, flight, None, again=flight.overdue)

    def start(self, checks: Iterable[Check]) -> None:
        """Run those of the checks that have an interval in the background, from now on."""
        self._background = [(check, check.interval) for check in checks if check.interval]
        if self._background and not self._interval.running:
            self._interval.wake()

    def _run_those_due(self) -> float:
        now, wait = self._clock(), _LONGEST_WAIT
        for check, interval in self._background if not self._interval.closing else ():
            if self._due.get(check.name, now) <= now:
                # All begin together; their second runs are spread, or they would meet for ever.
                share = 1.0 if check.name in self._due else random.uniform(0.5, 1)  # noqa: S311 # no secret
                self._due[check.name] = now + share * interval
                self.run_again(check)
            wait = min(wait, self._due[check.name] - now)
        return wait

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
            most = check.timeout + (_LONGEST_PREPARATION if check.prepare else 0)
            flight = slot.flight = _Flight(now, now + most, threading.Event())
        try:
            # One run in flight a check: when there is a thread for each of them, one is about to be free.
            context = contextvars.copy_context()  # a request's id, a trace: for what the check logs and sends
            job = partial(context.run, self._fly, check, flight, request)
            self.threads.submit(job, kind="checks", limit=len(self._slots))
        except BusyError as error:
            self._settle(check, flight, _failed(check, f"there is no thread to run it: {error}"), ended=True)
        return flight

    def _fly(self, check: Check, flight: _Flight, request: Any) -> None:
        try:
            if check.prepare is not None:
                with contextlib.suppress(Exception):  # the run meets what is wrong again, and says it
                    check.prepare()
                flight.started = self._clock()
                flight.deadline = flight.started + check.timeout
            outcome = self._perform(check, request)
        except BaseException as error:  # noqa: BLE001 # else the check would count as in flight for ever
            outcome = _failed(check, type(error).__name__, self._clock() - flight.started)
        late = self._clock() > flight.deadline  # which nobody may have waited for
        self._settle(check, flight, None if late else outcome, ended=True)

    def _end(self, check: Check, flight: _Flight | None, *, brief: bool) -> Verdict:
        # Of those who waited for a run that hangs one counts it; who comes later counts it again.
        if flight is not None:
            met_hanging = flight.overdue
            if brief and not met_hanging and self._clock() < flight.deadline:
                if not flight.done.wait(_MOMENT):
                    seconds = self._clock() - flight.started
                    unknown = _failed(check, f"no answer after {seconds:.2g} s", seconds)
                    return self._slots[check.name].verdict or unknown
            elif met_hanging or not flight.wait(self._clock):
                self._settle(check, flight, None, again=met_hanging)
        found = self._slots[check.name].verdict
        assert found is not None  # a run that ended left one
        return found

    def _settle(
        self, check: Check, flight: _Flight, outcome: Verdict | None, *, again: bool = False, ended: bool = False
    ) -> None:
        """Take in what a run gave, or, without ``outcome``, that its time is over: once, unless ``again``."""
        if outcome is None:
            seconds = self._clock() - flight.started
            still = f", still hanging after {seconds:.0f} s" if again else ""
            outcome = _failed(check, f"timed out after {check.timeout:g} s{still}", seconds)
        with self._lock:
            slot = self._slots[check.name]
            if slot.flight is not flight:  # it ended just now, after all
                return
            counts = again or not flight.overdue
            if ended:
                slot.flight = None
            else:
                flight.overdue = True
            changed = counts and slot.take(check, outcome, self._clock())
            now = slot.verdict
        if counts and now is not None:
            self._heard(check, outcome, now, changed)
        flight.done.set()

    def _perform(self, check: Check, request: Any) -> Verdict:
        begun = time.perf_counter()
        try:
            with request_for(request, self._registry) as given:
                result = check.run(given)
            return self._outcome(check, State.PASSED, begun, result)
        except BaseException as error:  # noqa: BLE001 # the boundary of a check: whatever it raises is its failure
            state = State.DEGRADED if isinstance(error, Degraded) else State.FAILED
            told = error.json if isinstance(error, JsonCheckException) else None
            return self._outcome(check, state, begun, told, error)
        finally:
            # A check whose session is joined to zope's transaction began one in this thread, and nobody else ends it.
            transaction = sys.modules.get("transaction")
            for clean in (*self.clean, *([transaction.abort] if transaction else [])):
                with contextlib.suppress(Exception):  # the check has its outcome; a session that can't close is gone
                    clean()

    def _outcome(
        self, check: Check, state: State, begun: float, result: Any, error: BaseException | None = None
    ) -> Verdict:
        seconds = time.perf_counter() - begun
        own, known = Masker(check.secrets), self._masker

        def hidden(value: Any) -> Any:
            return known.data(own.data(value))

        try:
            result = _fit(result, hidden)
        except ValueError as unfit:
            if error is None:
                raise
            result = str(unfit)
        if error is None:
            return Verdict(check.name, check.level, state, None, seconds, result)
        message = hidden(_message(error)[: 10 * _LONGEST_MESSAGE].encode("utf-8", "replace").decode())
        # In this order, as half a secret is one too.
        message = message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}..."
        stack = hidden(_stack(error).encode("utf-8", "replace").decode())
        return Verdict(check.name, check.level, state, message, seconds, result, stack)


def _failed(check: Check, message: str, seconds: float = 0.0) -> Verdict:
    return Verdict(check.name, check.level, State.FAILED, message, seconds)


def _good_for(check: Check) -> float:
    # With an interval not for ever, as nobody may run it in the background.
    return check.cache if check.interval is None else 2 * check.interval + check.timeout


def _fit(result: Any, hidden: Callable[[Any], Any]) -> Any:
    """Return a copy of ``result`` as JSON has it (RFC 8259), without secrets, in keys too, or raise ValueError."""
    try:
        text = json.dumps(result, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"returned what JSON can't hold ({error}): return a text, a number, a dict or a list"
        ) from None
    if len(text) > _LONGEST_RESULT:
        raise ValueError(f"returned {len(text):,} bytes of JSON: {_LONGEST_RESULT:,} is the most a report takes")
    return hidden(json.loads(text, object_pairs_hook=lambda pairs: {hidden(key): value for key, value in pairs}))


def _message(error: BaseException) -> str:
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


def _stack(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 # somebody's __str__; before Python 3.11.5 threads that format at once (gh-106905)
        return f"{type(error).__name__}: {_message(error)}"
