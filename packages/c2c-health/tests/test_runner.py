"""Runs at the same time, with hard deadlines, one in flight a check, and a constant number of threads."""

import contextvars
import subprocess
import sys
import threading
import time

import pytest

from c2c_broadcast import ConfigurationError, Masker
from c2c_health import Check, Degraded, State
from c2c_health._perform import Performer
from c2c_health._runner import Runner, _Slot
from c2c_health._standing import Standing


class Registry:
    """As much of a registry as a run needs."""

    def queryUtility(self, *_):  # noqa: D102, N802 # Pyramid's
        return None


@pytest.fixture
def make():
    """Make runners with a request of no application; what they heard is in ``runner.heard``."""
    runners = []

    def make_one():
        heard = []
        runner = Runner(
            Performer(Masker(), Registry()), lambda check, outcome, now, changed: heard.append((now, changed))
        )
        runner.heard = heard
        runners.append(runner)
        return runner

    yield make_one
    for runner in runners:
        runner.close()


@pytest.fixture
def hang():
    """Give a check function that hangs until the test ends."""
    end = threading.Event()

    def forever(request):
        end.wait(120)

    yield forever
    end.set()


def test_checks_run_at_the_same_time(make):
    """Twenty checks of one second take little more than one."""
    checks = [Check(name=f"c{number}", run=lambda request: time.sleep(1)) for number in range(20)]
    begun = time.monotonic()
    verdicts = make().run(checks, object())
    assert time.monotonic() - begun < 5  # one after the other takes 20
    assert all(verdict.passing for verdict in verdicts.values())
    assert list(verdicts) == [check.name for check in checks]


def test_a_check_that_hangs_fails_at_its_deadline_and_costs_one_thread(make, hang):
    """It is not started again while it hangs, it fails at once from then on, and the others are as before."""
    runner = make()
    started = []

    def count_and_hang(request):
        started.append(1)
        hang(request)

    checks = [
        Check(name="hangs", run=count_and_hang, timeout=0.3),
        Check(name="good", run=lambda request: "well"),
    ]
    first = runner.run(checks, object())
    assert first["hangs"].message == "timed out after 0.3 s"
    assert first["good"].outcome.result == "well"
    threads = runner.threads.count
    begun = time.monotonic()
    for _ in range(100):
        again = runner.run(checks, object())
        assert not again["hangs"].passing
        assert again["hangs"].message.startswith("timed out after 0.3 s")
        assert again["good"].passing
    assert time.monotonic() - begun < 10  # with a deadline each it would be 30
    assert started == [1]
    assert runner.threads.count == threads == 2


def test_a_check_that_comes_back_is_run_again(make):
    """What hung and then ended is run again by the next call, and passes."""
    runner, hung = make(), threading.Event()
    check = Check(name="slow", run=lambda request: hung.wait(60), timeout=0.2)
    assert not runner.run([check], object())["slow"].passing
    hung.set()
    deadline = time.monotonic() + 30
    while not runner.run([check], object())["slow"].passing:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_check_that_is_late_has_failed_though_nobody_waited(make):
    """A run past its deadline is a failure also where another check of the call takes longer."""
    runner, late = make(), threading.Event()

    def take_too_long(request):
        time.sleep(0.5)
        late.set()

    checks = [
        Check(name="patient", run=lambda request: late.wait(60) and time.sleep(0.5), timeout=120),
        Check(name="late", run=take_too_long, timeout=0.1),
    ]
    found = runner.run(checks, object())
    assert found["patient"].passing
    assert found["late"].message == "timed out after 0.1 s"
    runner.run_again(Check(name="alone", run=lambda request: time.sleep(0.5), timeout=0.1, interval=60))
    deadline = time.monotonic() + 30
    while len(runner.heard) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [now.state for now, _ in runner.heard if now.name == "alone"] == [State.FAILED]


def test_the_deadline_counts_from_the_end_of_the_preparation(make, hang):
    """Importing code takes what it takes; a check that hangs after it still ends at its deadline."""
    runner, slow = make(), lambda: time.sleep(1)
    good = Check(name="good", run=lambda request: "well", timeout=0.9, prepare=slow)
    begun = time.monotonic()
    hangs = Check(name="hangs", run=hang, timeout=0.3, prepare=slow)
    found = runner.run([good, hangs], object())
    assert found["good"].outcome.result == "well"
    assert found["hangs"].message == "timed out after 0.3 s"
    assert time.monotonic() - begun < 15  # of the 20 that a preparation may take


def test_a_preparation_that_fails_or_hangs(make, hang, monkeypatch):
    """The run says what is wrong; a preparation that hangs is a failure when its own time is over."""
    monkeypatch.setattr("c2c_health._runner._LONGEST_PREPARATION", 0.2)
    runner = make()

    def broken():
        raise ImportError("no such thing")

    checks = [
        Check(name="broken", run=lambda request: broken(), prepare=broken),
        Check(name="hangs", run=lambda request: None, timeout=0.2, prepare=lambda: hang(None)),
    ]
    for _ in range(2):
        found = runner.run(checks, object())
        assert found["broken"].message == "no such thing"
        assert found["hangs"].message.startswith("timed out after 0.2 s")


def test_fifty_checks_of_which_three_hang_under_a_thousand_calls(make, hang):
    """All calls end within the deadline (with a wide margin), by a constant number of threads."""
    runner = make()
    checks = [Check(name=f"good{number}", run=lambda request: "well") for number in range(47)]
    checks += [Check(name=f"hangs{number}", run=hang, timeout=1) for number in range(3)]
    slowest, wrong, counts, lock = [0.0], [], set(), threading.Lock()
    runner.run(checks, object())

    def ask():
        for _ in range(125):
            begun = time.monotonic()
            verdicts = runner.run(checks, object())
            seconds = time.monotonic() - begun
            failed = sorted(name for name, verdict in verdicts.items() if not verdict.passing)
            with lock:
                slowest[0] = max(slowest[0], seconds)
                counts.add(runner.threads.count)
                if failed != ["hangs0", "hangs1", "hangs2"]:
                    wrong.append(failed)

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(300)
    assert wrong == []
    assert slowest[0] < 20
    assert max(counts) <= 50


def test_concurrent_callers_share_a_run(make):
    """Who asks while a check runs gets the outcome of that run."""
    runner, began, go, runs = make(), threading.Event(), threading.Event(), []

    def run(request):
        runs.append(request)
        began.set()
        go.wait(60)
        return len(runs)

    check = Check(name="one", run=run, timeout=60)
    found = []
    callers = [threading.Thread(target=lambda: found.append(runner.run([check], object())["one"])) for _ in range(5)]
    callers[0].start()
    assert began.wait(60)
    for caller in callers[1:]:
        caller.start()
    time.sleep(0.2)
    go.set()
    for caller in callers:
        caller.join(60)
    assert [verdict.outcome.result for verdict in found] == [1] * 5
    assert len(runs) == 1


def test_a_run_that_hangs_counts_once_for_those_who_wait(make, hang):
    """Five callers of one run are one failure; who comes later meets it anew."""
    runner = make()
    check = Check(name="it", run=hang, timeout=0.5, failures=2)
    runner._slots["it"] = _Slot(standing=Standing(passing=True))
    callers = [threading.Thread(target=runner.run, args=([check], object())) for _ in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert [now.state for now, _ in runner.heard] == [State.DEGRADED]
    assert runner.run([check], object())["it"].state is State.FAILED


def test_a_performer_that_breaks():
    """Whatever runs a check may raise too (no memory): the check has failed, and is run again."""

    def perform(check, request):
        raise MemoryError

    runner = Runner(perform, lambda *heard: None)
    check = Check(name="it", run=lambda request: None)
    for _ in range(2):
        assert runner.run([check], object())["it"].message == "MemoryError"
    runner.close()


def test_context_variables_go_along(make):
    """What a check logs belongs to the request, for those who keep its id in one."""
    name = contextvars.ContextVar("name")
    name.set("mine")
    check = Check(name="it", run=lambda request: name.get())
    assert make().run([check], object())["it"].outcome.result == "mine"


def test_cache_and_interval_answer_from_memory(make):
    """With ``cache`` it is run again when the time is over; with ``interval`` only where nobody else did."""
    runner, now, runs = make(), [100.0], []
    runner._clock = lambda: now[0]
    cached = Check(name="cached", run=lambda request: runs.append("cached"), cache=10)
    background = Check(name="background", run=lambda request: runs.append("background"), interval=10)
    for at in (100.0, 105.0, 109.9):
        now[0] = at
        runner.run([cached, background], object())
    assert sorted(runs) == ["background", "cached"]
    now[0] = 120.0
    runner.run([cached, background], object())
    assert sorted(runs) == ["background", "cached", "cached"]
    runner.run_again(background)
    deadline = time.monotonic() + 30
    while runs.count("background") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    now[0] = 200.0
    runner.run([background], object())
    assert runs.count("background") == 3


def test_it_takes_several_runs_to_flip(make):
    """With failures=3, successes=2 the third failure turns it red, the second success green; the log hears twice."""
    runner, well = make(), [True]

    def run(request):
        if not well[0]:
            raise OSError("away")

    check = Check(name="flaky", run=run, failures=3, successes=2)
    states = []
    for state in (True, False, False, False, True, False, True, True):
        well[0] = state
        states.append(runner.run([check], object())["flaky"].state)
    passed, degraded, failed = State.PASSED, State.DEGRADED, State.FAILED
    assert states == [passed, degraded, degraded, failed, failed, failed, failed, passed]
    assert runner.heard[1][0].message == "failed 1 of 3 times before it counts: away"
    assert runner.heard[4][0].message == "passed 1 of 2 times before it counts"


@pytest.mark.parametrize("kind", [BaseException, GeneratorExit, KeyboardInterrupt, SystemExit, RecursionError])
def test_whatever_a_check_raises_is_its_failure(make, kind):
    """Exceptions that are no Exception, too; and the thread lives on."""
    runner = make()

    def run(request):
        raise kind("so there")

    for _ in range(3):
        verdict = runner.run([Check(name="wild", run=run)], object())["wild"]
        assert verdict.message == "so there"
        assert kind.__name__ in verdict.outcome.stacktrace
    assert runner.threads.count == 1


class UnprintableError(Exception):
    """Has a text that can't be had."""

    def __str__(self):
        raise ValueError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError(), "ValueError"),
        (UnprintableError(), "UnprintableError"),
        (OSError("a\udc80b"), "a?b"),
        (OSError("x" * 3_000_000), "x" * 2_000 + "..."),
        (ValueError("long " * 10_000), ("long " * 400) + "..."),
        (Degraded("low"), "low"),
    ],
)
def test_messages(make, error, message):
    """A failure always has a message, of bounded length, that any JSON encoder takes."""

    def run(request):
        raise error

    assert make().run([Check(name="it", run=run)], object())["it"].message == message


@pytest.mark.parametrize("result", [{1, 2}, object(), float("nan"), b"x", {("a",): 1}, "x" * 300_000])
def test_a_result_that_json_cannot_hold_is_a_failure(make, result):
    """It names what is wrong with it."""
    verdict = make().run([Check(name="odd", run=lambda request: result)], object())["odd"]
    assert not verdict.passing
    assert verdict.message.startswith("returned ")


def test_an_endless_stack_is_cut(make):
    """A report is of bounded size, whatever an exception drags along."""

    def run(request):
        raise ValueError("x" * 3_000_000) from OSError("y" * 3_000_000)

    outcome = make().run([Check(name="it", run=run)], object())["it"].outcome
    assert len(outcome.stacktrace) < 30_000


def test_a_result_is_a_copy(make):
    """What a check does with its result later changes no report."""
    kept = {"list": [1]}
    verdict = make().run([Check(name="kept", run=lambda request: kept)], object())["kept"]
    kept["list"].append(2)
    assert verdict.outcome.result == {"list": [1]}


def test_idle_threads_end(make):
    """A thread that had nothing to do for a while is gone; the next run starts one."""
    runner = make()
    runner.threads._idle_seconds = 0.05
    check = Check(name="it", run=lambda request: None)
    runner.run([check], object())
    deadline = time.monotonic() + 30
    while runner.threads.count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert runner.run([check], object())["it"].passing


_FORK = """
import os, threading, warnings
from c2c_broadcast import Masker
from c2c_health import Check
from c2c_health._interval import Interval
from c2c_health._perform import Performer
from c2c_health._runner import Runner, _Slot
from c2c_health._standing import Standing

warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from Python 3.12 on: the subject here
class Registry:
    def queryUtility(self, *_): pass

runner = Runner(Performer(Masker(), Registry()), lambda *heard: None)
parent = os.getpid()
checks = [
    Check(name="good", run=lambda request: os.getpid()),
    Check(name="hangs", run=lambda request: threading.Event().wait() if os.getpid() == parent else 1, timeout=0.2),
]
begun = []
interval = Interval(lambda: [Check(name="i", run=print, interval=0.05)], lambda check: begun.append(os.getpid()))
interval.start()
first = runner.run(checks, object())
assert first["good"].passing and not first["hangs"].passing
runner._lock.acquire()  # as a thread of the parent may have it
runner.threads._lock.acquire()
child = os.fork()
if child == 0:
    verdicts = runner.run(checks, object())
    assert verdicts["good"].outcome.result == os.getpid()
    assert verdicts["hangs"].passing
    interval.start()
    while os.getpid() not in begun:
        pass
    os._exit(42)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
"""


def test_a_forked_child_begins_anew():
    """With threads of its own, whatever the parent's were doing, and whichever lock was held."""
    subprocess.run([sys.executable, "-c", _FORK], check=True, timeout=120)


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": "a,b"},
        {"name": "a\nb"},
        {"name": None},
        {"level": 0},
        {"level": True},
        {"level": "1"},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"timeout": "5"},
        {"cache": -1},
        {"interval": 0},
        {"failures": 0},
        {"successes": 1.5},
        {"run": None},
    ],
)
def test_a_check_that_makes_no_sense_is_refused(options):
    """At the start, not at the first probe."""
    with pytest.raises(ConfigurationError):
        Check(**{"name": "it", "run": lambda request: None, **options})
