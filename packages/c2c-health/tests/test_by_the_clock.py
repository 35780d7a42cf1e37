"""Deadlines, memories and intervals, to the second: real threads, by a clock that the test sets."""

import threading
import time
from functools import partial

import pytest
import transaction
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.threadlocal import get_current_request

from c2c_broadcast import Masker
from c2c_health import Degraded, JsonCheckException, State
from c2c_health._check import Check
from c2c_health._runner import Runner


class Clock:
    """Shows what the test says."""

    now = 1_000.0

    def __call__(self):
        """Return the time."""
        return self.now


@pytest.fixture
def clock():
    """Give the clock of the test."""
    return Clock()


@pytest.fixture
def runner(make, clock):
    """Give a runner that lives by it."""
    made = make()
    made._clock = clock
    return made


def until(condition):
    """Wait for something that comes to be true."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def good(name="it", **options):
    """Return a check that passes, and the list of its runs."""
    runs = []
    return Check(name=name, run=lambda request: runs.append(name), **options), runs


def test_an_outcome_is_good_for_as_long_as_was_said(runner, clock):
    """Up to ``cache`` seconds nothing is run, from then on it is; another check of the call does not matter."""
    (cached, runs), (other, others) = good(cache=10), good("other")
    for clock.now, wanted in ((1_000.0, 1), (1_009.9, 1), (1_010.0, 2), (1_019.9, 2), (1_020.0, 3)):
        assert list(runner.run([cached, other], None)) == ["it", "other"]
        assert len(runs) == wanted
    assert len(others) == 5


def test_an_interval_is_good_for_two_and_a_run(runner, clock):
    """A check that nobody runs in the background any more is run by who asks: after two intervals and its deadline."""
    check, runs = good(interval=10, timeout=3)
    for clock.now, wanted in ((1_000.0, 1), (1_022.9, 1), (1_023.0, 2)):
        runner.run([check], None)
        assert len(runs) == wanted


def test_what_is_remembered_grows_old(runner, clock):
    """Never run is a failure, half a minute is fine or what a check said is good for, and then its age is told."""
    (often, _), (seldom, _) = good("often"), good("seldom", cache=100)
    never = runner.remembered([often])
    assert [(one.state, one.message, one.seconds) for one in never] == [(State.FAILED, "it has not been run yet", 0.0)]
    runner.run([often, seldom], None)
    clock.now = 1_030.0
    assert [one.state for one in runner.remembered([often, seldom])] == [State.PASSED] * 2
    clock.now = 1_030.5
    old, young = runner.remembered([often, seldom])
    assert (old.state, old.message, old.seconds) == (State.FAILED, "it was run last 30 s ago", 30.5)
    assert young.passing
    clock.now = 1_100.5
    assert [one.passing for one in runner.remembered([often, seldom])] == [False, False]


@pytest.mark.parametrize(("took", "passes"), [(2.0, True), (2.1, False)])
@pytest.mark.parametrize("prepares", [None, 5.0])
def test_a_run_is_late_after_its_deadline(runner, clock, took, passes, prepares):
    """What took as long as it may has passed; the time begins after the preparation."""

    def pass_time(seconds):
        clock.now += seconds

    prepare = None if prepares is None else lambda: pass_time(prepares)
    check = Check(name="it", run=lambda request: pass_time(took), timeout=2, prepare=prepare)
    runner.run_again(check)
    until(lambda: runner.heard)
    assert runner.heard[0][0].passing is passes
    if not passes:
        assert runner.heard[0][0].message == "timed out after 2 s"
        assert runner.heard[0][0].seconds == pytest.approx(took)


@pytest.mark.parametrize(("prepares", "most"), [(False, 2.0), (True, 22.0)])
def test_a_run_that_hangs_fails_when_its_time_is_over(runner, clock, hang, prepares, most):
    """Not before; and with a preparation that hangs 20 s later. Who runs it again counts it again, with its age."""
    prepare = partial(hang, None) if prepares else None
    check = Check(name="it", run=hang, timeout=2, prepare=prepare, failures=3)
    runner.run_again(check)
    clock.now += most - 0.1
    runner.run_again(check)
    assert runner.heard == []
    clock.now += 0.1
    runner.run_again(check)
    assert [now.message for now, _ in runner.heard] == ["timed out after 2 s"]
    clock.now += 60
    runner.run_again(check)
    hangs = f"timed out after 2 s, still hanging after {most + 60:.0f} s"
    assert runner.heard[1][0].message == hangs
    assert runner.run([check], None)["it"].message == hangs
    assert [changed for _, changed in runner.heard] == [True, False, False]
    assert runner.heard[2][0].seconds == most + 60


def test_a_background_run_that_hangs_keeps_no_probe(runner, clock, hang):
    """While its time is not over the last outcome is the answer, at once; then the failure is."""
    hangs = []
    check = Check(name="it", run=lambda request: hang(None) if hangs else None, timeout=5, interval=1)
    assert runner.run([check], None)["it"].passing
    hangs.append(True)
    runner.run_again(check)
    clock.now += 4.9
    assert runner.run([check], None)["it"].passing
    clock.now += 0.1
    assert not runner.run([check], None)["it"].passing


def test_who_decides_nothing_keeps_nobody(runner, hang):
    """A run of a higher level is left after a moment, without an answer yet; one of the level is waited for."""
    go, hangs = threading.Event(), [True]
    high = Check(name="high", run=lambda request: hang(None) if hangs else "well", level=2, timeout=60)
    low = Check(name="low", run=lambda request: go.wait(0.6), level=1, timeout=60)
    found = runner.run([high, low], None, 1)
    assert found["high"].message == "no answer after 0 s"
    assert found["low"].passing
    hangs.clear()
    assert runner.run([Check(name="quick", run=lambda request: 1, level=2)], None, 1)["quick"].result == 1


def test_what_hung_is_told_as_it_stood(runner, clock, hang):
    """A check of a higher level that was well and hangs now is well for those it keeps waiting; then it is not."""
    hangs = []
    high = Check(name="high", run=lambda request: hang(None) if hangs else "well", level=2)
    assert runner.run([high], None)["high"].result == "well"
    hangs.append(True)
    assert runner.run([high], None, 1)["high"].result == "well"
    clock.now += 5
    assert not runner.run([high], None, 1)["high"].passing
    assert runner.run([high], None, 1)["high"].message.endswith("still hanging after 5 s")


def test_intervals_are_spread(runner, clock):
    """All checks begin together, once; their second runs come half to a whole interval later, the third after one."""
    made = [good(f"c{number}", interval=10) for number in range(20)]
    runner._background = [(check, 10.0) for check, _ in made]
    wait = runner._run_those_due()
    until(lambda: all(runs for _, runs in made))
    second = [runner._due[check.name] - clock.now for check, _ in made]
    assert min(second) == wait
    assert all(5 <= one <= 10 for one in second)
    assert len(set(second)) > 1
    assert runner._run_those_due() == wait  # nothing is due
    clock.now += 10
    assert runner._run_those_due() == 10
    until(lambda: all(len(runs) == 2 for _, runs in made))


def test_the_background_looks_again_after_a_minute(runner):
    """However long the intervals are; without one there is no thread, and after a close nothing is run."""
    plain, _ = good()
    runner.start([plain])
    assert not runner._interval.running
    seldom, _ = good("seldom", interval=1_000)
    runner._background = [(seldom, 1_000.0)]
    assert runner._run_those_due() == 60


def test_a_close_ends_the_threads(make):
    """Of background and runs; what is run later starts them again."""
    runner = make()
    check, runs = good(interval=1_000)
    before = set(threading.enumerate())
    runner.start([check])
    until(lambda: runs)
    runner.start([check])
    runner.close()
    until(lambda: not {one for one in set(threading.enumerate()) - before if one.name.startswith("c2c-health")})
    assert runner.run([good("other")[0]], None)["other"].passing


def test_without_a_thread_a_check_has_failed(make):
    """It says so, nobody waits for it, and it is run when there is one again."""
    runner, (check, _) = make(), good()
    before = threading.stack_size(1 << 46)
    try:
        verdict = runner.run([check], None)["it"]
    finally:
        threading.stack_size(before)
    assert not verdict.passing
    assert verdict.message.startswith("there is no thread to run it: ")
    assert runner.run([check], None)["it"].passing


def test_the_first_run_is_believed_at_once(runner):
    """Whatever ``failures`` says: before it nothing is known. What changes is told as a change, what stays is not."""
    well = []

    def run(request):
        if not well:
            raise OSError("away")

    check = Check(name="it", run=run, failures=3, successes=2)
    assert runner.run([check], None)["it"].state is State.FAILED
    well.append(1)
    assert runner.run([check], None)["it"].message == "passed 1 of 2 times before it counts"
    for _ in range(2):
        assert runner.run([check], None)["it"].state is State.PASSED
    assert [changed for _, changed in runner.heard] == [True, False, True, False]
    degraded = Check(name="low", run=lambda request: _raise(Degraded("low", {"free": 1})))
    assert runner.run([degraded], None)["low"].state is State.DEGRADED
    assert runner.run([degraded], None)["low"].result == {"free": 1}
    assert [changed for _, changed in runner.heard[4:]] == [True, False]


def _raise(error):
    raise error


def test_an_outcome_tells_how_long_it_took(runner):
    """In seconds, of a success and of a failure."""
    begun = time.perf_counter()
    found = runner.run([good()[0], Check(name="bad", run=lambda request: 1 / 0)], None).values()
    assert all(0 < one.seconds < time.perf_counter() - begun for one in found)


def test_the_most_that_a_report_takes(runner):
    """A result of 256 KiB as JSON is one, with a byte more it is none, and a message of 2,000 characters is whole."""
    quoted = 256 * 1024 - 2
    for size, passes in ((quoted, True), (quoted + 1, False)):
        verdict = runner.run([Check(name=f"c{size}", run=lambda request, size=size: "x" * size)], None)[f"c{size}"]
        assert verdict.passing is passes
    assert verdict.message == "returned 262,145 bytes of JSON: 262,144 is the most a report takes"
    told = Check(name="told", run=lambda request: _raise(JsonCheckException("y" * 2_000, "x" * (quoted + 1))))
    assert runner.run([told], None)["told"].message == "y" * 2_000
    assert runner.run([told], None)["told"].result.startswith("returned 262,145 bytes")
    assert runner.run([Check(name="odd", run=lambda request: "a\udc80")], None)["odd"].result == "a?"


def test_secrets_of_check_and_application_are_hidden(clock):
    """In a result, keys too, a message and a stack."""
    runner = Runner(Configurator().registry, Masker(["the-applications"]), lambda *heard: None)
    both = "the-applications and the-checks"
    secret = {"secrets": ["the-checks"]}
    checks = [
        Check(name="good", run=lambda request: {both: [both]}, **secret),
        Check(name="bad", run=lambda request: _raise(OSError(both)), **secret),
    ]
    found = runner.run(checks, None)
    assert found["bad"].stacktrace.startswith("Traceback")
    for text in (found["good"].result, found["bad"].message, found["bad"].stacktrace):
        assert "the-applications" not in str(text)
        assert "the-checks" not in str(text)
    runner.close()


class Own(Request):
    """What an application makes of its requests."""


def test_a_run_has_a_request_of_the_application(clock):
    """Without a request it gets a blank one of the application's kind, with all that it adds; its callbacks are called.

    The thread works for it meanwhile, and for none after it. A request that is given stays the caller's.
    """
    config = Configurator(request_factory=Own)
    config.add_request_method(lambda request: "added", "extra", property=True)
    config.commit()
    finished, seen = [], []

    def run(request):
        request.add_finished_callback(finished.append)
        seen.append((request, request.registry, get_current_request(), request.extra, getattr(request, "tm", None)))

    runner = Runner(config.registry, Masker(), lambda *heard: None)
    runner.clean.append(lambda: seen.append(get_current_request()))
    assert runner.run([Check(name="it", run=run)], None)["it"].passing
    request, registry, current, extra, manager = seen[0]
    assert isinstance(request, Own)
    assert (registry, current, extra) == (config.registry, request, "added")
    assert manager is transaction.manager
    assert finished == [request]
    assert seen[1:] == [None]
    mine = Own.blank("/mine")
    mine.registry, mine.extra = config.registry, "mine"
    assert runner.run([Check(name="mine", run=run)], mine)["mine"].passing
    assert seen[2] == (mine, config.registry, mine, "mine", None)
    assert len(finished) == 1
    runner.close()


def test_what_a_run_took_is_given_back(make):
    """The cleaners are called after each run, failed ones too, each though another raises; a transaction is ended."""
    runner, calls, ended = make(), [], []
    runner.clean += [lambda: _raise(OSError()), lambda: calls.append(threading.current_thread())]

    def run(request):
        transaction.begin().addAfterAbortHook(ended.append, (threading.current_thread(),))
        raise OSError("away")

    assert runner.run([Check(name="it", run=run)], None)["it"].message == "away"
    assert calls == ended != []


def test_a_run_that_ended_just_now_is_not_timed_out_too(runner):
    """Who gave up at that very moment changes nothing: the outcome of the run is the one that counts."""
    check, _ = good()
    flight = runner._begin(check, None)
    until(flight.done.is_set)
    runner._settle(check, flight, None)
    assert [now.state for now, _ in runner.heard] == [State.PASSED]


def test_a_preparation_is_made_for_each_run(runner):
    """Before it, in its thread; what it raises is the run's to say."""
    order = []

    def prepare():
        order.append(("prepare", threading.current_thread()))
        raise OSError

    check = Check(name="it", run=lambda request: order.append(("run", threading.current_thread())), prepare=prepare)
    assert runner.run([check], None)["it"].passing
    assert [what for what, _ in order] == ["prepare", "run"]
    assert order[0][1] is order[1][1] is not threading.current_thread()
