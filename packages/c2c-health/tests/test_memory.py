"""What is remembered of runs, and for how long: outcomes, standing, threads, and what a forked child begins with."""

import contextvars
import subprocess
import sys
import time

from c2c_health import State
from c2c_health._check import Check


def test_a_performer_that_breaks(make, monkeypatch):
    """Whatever runs a check may raise too (no memory): the check has failed, and is run again."""

    def perform(check, request):
        raise MemoryError

    runner = make()
    monkeypatch.setattr(runner, "_perform", perform)
    runner._clock = lambda: 100.0
    check = Check(name="it", run=lambda request: None)
    for _ in range(2):
        verdict = runner.run([check], None)["it"]
        assert (verdict.message, verdict.seconds) == ("MemoryError", 0)


def test_context_variables_go_along(make):
    """What a check logs belongs to the request, for those who keep its id in one."""
    name = contextvars.ContextVar("name")
    name.set("mine")
    check = Check(name="it", run=lambda request: name.get())
    assert make().run([check], None)["it"].result == "mine"


def test_cache_and_interval_answer_from_memory(make):
    """With ``cache`` it is run again when the time is over; with ``interval`` only where nobody else did."""
    runner, now, runs = make(), [100.0], []
    runner._clock = lambda: now[0]
    cached = Check(name="cached", run=lambda request: runs.append("cached"), cache=10)
    background = Check(name="background", run=lambda request: runs.append("background"), interval=10)
    for at in (100.0, 105.0, 109.9):
        now[0] = at
        runner.run([cached, background], None)
    assert sorted(runs) == ["background", "cached"]
    now[0] = 120.0
    runner.run([cached, background], None)
    assert sorted(runs) == ["background", "cached", "cached"]
    runner.run_again(background)
    deadline = time.monotonic() + 30
    while runs.count("background") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    now[0] = 200.0
    runner.run([background], None)
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
        states.append(runner.run([check], None)["flaky"].state)
    passed, degraded, failed = State.PASSED, State.DEGRADED, State.FAILED
    assert states == [passed, degraded, degraded, failed, failed, failed, failed, passed]
    assert runner.heard[1][0].message == "failed 1 of 3 times before it counts: away"
    assert runner.heard[4][0].message == "passed 1 of 2 times before it counts"


def test_idle_threads_end(make):
    """A thread that had nothing to do for a while is gone; the next run starts one."""
    runner = make()
    runner.threads._idle = 0.05
    check = Check(name="it", run=lambda request: None)
    runner.run([check], None)
    deadline = time.monotonic() + 30
    while runner.threads.count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert runner.run([check], None)["it"].passing


_FORK = """
import os, threading, warnings
from c2c_broadcast import Masker
from c2c_health._check import Check
from c2c_health._runner import Runner

warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from Python 3.12 on: the subject here
class Registry:
    def queryUtility(self, *_): pass

runner = Runner(Registry(), Masker(), lambda *heard: None)
parent = os.getpid()
checks = [
    Check(name="good", run=lambda request: os.getpid()),
    Check(name="hangs", run=lambda request: threading.Event().wait() if os.getpid() == parent else 1, timeout=2),
]
begun = []
background = [Check(name="i", run=lambda request: begun.append(os.getpid()), interval=0.05)]
runner.start(background)
first = runner.run(checks, None)
assert first["good"].passing and not first["hangs"].passing
runner._lock.acquire()  # as a thread of the parent may have it
runner.threads._lock.acquire()
child = os.fork()
if child == 0:
    verdicts = runner.run(checks, None)
    assert verdicts["good"].result == os.getpid()
    assert verdicts["hangs"].passing
    runner.start(background)
    while os.getpid() not in begun:
        pass
    os._exit(42)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
"""


def test_a_forked_child_begins_anew():
    """With threads of its own, whatever the parent's were doing, and whichever lock was held."""
    subprocess.run([sys.executable, "-c", _FORK], check=True, timeout=120)
