"""Runs at the same time, with hard deadlines, one in flight a check, and a constant number of threads."""

import threading
import time

from c2c_health import State
from c2c_health._check import Check
from c2c_health._runner import _Slot


def test_checks_run_at_the_same_time(make):
    """Twenty checks of one second take little more than one."""
    checks = [Check(name=f"c{number}", run=lambda request: time.sleep(1)) for number in range(20)]
    begun = time.monotonic()
    verdicts = make().run(checks, None)
    assert time.monotonic() - begun < 15  # one after the other takes 20
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
        Check(name="hangs", run=count_and_hang, timeout=2),
        Check(name="good", run=lambda request: "well"),
    ]
    first = runner.run(checks, None)
    assert first["hangs"].message == "timed out after 2 s"
    assert first["good"].result == "well"
    threads = runner.threads.count
    begun = time.monotonic()
    for _ in range(30):
        again = runner.run(checks, None)
        assert not again["hangs"].passing
        assert again["hangs"].message.startswith("timed out after 2 s")
        assert again["good"].passing
    assert time.monotonic() - begun < 50  # with a deadline each it would be 60
    assert started == [1]
    assert runner.threads.count == threads == 2


def test_a_check_that_comes_back_is_run_again(make):
    """What hung and then ended is run again by the next call, and passes."""
    runner, hung = make(), threading.Event()
    check = Check(name="slow", run=lambda request: hung.wait(60), timeout=0.2)
    assert not runner.run([check], None)["slow"].passing
    hung.set()
    deadline = time.monotonic() + 30
    while not runner.run([check], None)["slow"].passing:
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
    found = runner.run(checks, None)
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
    runner, slow = make(), lambda: time.sleep(3)
    good = Check(name="good", run=lambda request: "well", timeout=2.5, prepare=slow)
    begun = time.monotonic()
    hangs = Check(name="hangs", run=hang, timeout=0.3, prepare=slow)
    found = runner.run([good, hangs], None)
    assert found["good"].result == "well"
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
        found = runner.run(checks, None)
        assert found["broken"].message == "no such thing"
        assert found["hangs"].message.startswith("timed out after 0.2 s")


def test_ten_checks_of_which_three_hang_under_a_thousand_calls(make, hang):
    """All calls end within the deadline (with a wide margin), by a constant number of threads."""
    runner = make()
    checks = [Check(name=f"good{number}", run=lambda request: "well") for number in range(7)]
    checks += [Check(name=f"hangs{number}", run=hang, timeout=1) for number in range(3)]
    slowest, wrong, counts, lock = [0.0], [], set(), threading.Lock()
    runner.run(checks, None)

    def ask():
        for _ in range(125):
            begun = time.monotonic()
            verdicts = runner.run(checks, None)
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
    assert max(counts) <= 25  # a thread on its way from one run to the next is not free yet


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
    callers = [threading.Thread(target=lambda: found.append(runner.run([check], None)["one"])) for _ in range(5)]
    callers[0].start()
    assert began.wait(60)
    for caller in callers[1:]:
        caller.start()
    time.sleep(0.2)
    go.set()
    for caller in callers:
        caller.join(60)
    assert [verdict.result for verdict in found] == [1] * 5
    assert len(runs) == 1


def test_a_run_that_hangs_counts_once_for_those_who_wait(make, hang):
    """Five callers of one run are one failure; who comes later meets it anew."""
    runner = make()
    check = Check(name="it", run=hang, timeout=3, failures=2)
    runner._slots["it"] = _Slot(passing=True)
    callers = [threading.Thread(target=runner.run, args=([check], None)) for _ in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert [now.state for now, _ in runner.heard] == [State.DEGRADED]
    assert runner.run([check], None)["it"].state is State.FAILED
