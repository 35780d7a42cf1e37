"""Run checks at the same time, each with a hard deadline and one run in flight, whatever they do.

Nothing here knows Pyramid: what runs a check and what hears of its outcome are arguments.
"""

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from c2c_health import _forks
from c2c_health._check import Check
from c2c_health._outcomes import Outcome, State, Verdict
from c2c_health._standing import UNKNOWN, Standing, after, verdict
from c2c_health._threads import Threads

Perform = Callable[[Check, Any], Outcome]
Heard = Callable[[Check, Outcome, Verdict, bool], None]
"""Called after each run with the check, its outcome, how it stands now, and whether that changed."""


# Seconds; with the default deadline it is less than the 30 after which gunicorn ends a worker.
_LONGEST_PREPARATION = 20.0
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
        self.threads = Threads("c2c-health-check")
        self._perform = perform
        self._heard = heard
        self._clock = clock
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()
        _forks.watch(self)

    def run(self, checks: Iterable[Check], request: Any, highest: float = float("inf")) -> dict[str, Verdict]:
        """Return how each check stands, within the longest of their deadlines.

        A check with a good memory (``cache``, ``interval``) is not run; one that another caller runs is waited for; one
        that hangs has failed already. A check above the level ``highest`` decides nothing, so it keeps nobody: after a
        moment it is reported as its last run left it.
        """
        begun = [(check, self._begin(check, request)) for check in checks]
        return {check.name: self._end(check, flight, brief=check.level > highest) for check, flight in begun}

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
            self.threads.submit(lambda: context.run(self._fly, check, flight, request), limit=len(self._slots))
        except RuntimeError as error:
            outcome = Outcome(State.FAILED, 0.0, time.time(), message=f"there is no thread to run it ({error})")
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
                    return self._slots[check.name].verdict or _running(check, self._clock() - flight.started)
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


def _running(check: Check, seconds: float) -> Verdict:
    message = f"no answer after {seconds:.2g} s"
    outcome = Outcome(State.FAILED, seconds, time.time(), message=message)
    return Verdict(check.name, check.level, State.FAILED, outcome, message)


def _good_for(check: Check) -> float:
    """Return for how many seconds an outcome holds; where nobody runs a check in the background, not for ever."""
    return check.cache if check.interval is None else 2 * check.interval + check.timeout
