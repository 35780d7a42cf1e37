"""A series of each kind by itself: what it takes, what it tells, how many there may be."""

import logging
import math
from collections import deque
from decimal import Decimal
from enum import Enum
from time import time

from c2c_stats._series import OVERFLOW, Counter, Gauge, Guard, Identity, Timer, identify, later, say


class Colour(Enum):
    """An enumeration."""

    RED = "red"


class Own(str):
    """A text that is shown as another one."""

    __slots__ = ()

    def __str__(self):
        """Return the other one."""
        return "other"


def test_keys_and_tags_are_short_texts():
    """20 parts and 20 tags of 450 characters at most; tags are sorted, those without a value left out."""
    one = identify("counter", [Colour.RED, Own("text"), 1, "x" * 500], {"b": Own("2"), "a": Colour.RED, "c": None})
    assert one.path == one.name == ("red", "text", "1", "x" * 450)
    assert one.tags == one.labels == (("a", "red"), ("b", "2"))
    assert identify("gauge", "ab", None) == Identity("gauge", ("ab",), (), ("ab",), ())
    assert identify("gauge", [], {}) == Identity("gauge", ("_",), (), ("_",), ())
    many = identify("timer", range(30), {f"{number:>500}": f"{number:<500}" for number in range(10, 40)})
    assert many.path == tuple(map(str, range(20)))
    assert many.tags == tuple((f"{number:>500}"[:450], f"{number:<500}"[:450]) for number in range(10, 30))
    assert not hasattr(one, "__dict__"), "there may be many of them"


NO_NUMBERS = [-0.5, -(10**400), 10**400, 1e301, -1e301, math.nan, math.inf, Decimal("NaN"), "5", b"5", None, []]


def test_a_counter():
    """It adds what is a number of 0 or more, and tells each; all else changes nothing and is not told."""
    told = []
    counter = Counter(identify("counter", ["c"], None), lambda one, value: told.append((value, *one.cells)))
    for value in (2, 0.25, 0, Decimal("0.5"), -1, *NO_NUMBERS):
        counter.inc(value)
    counter.inc()
    assert told == [(2, 2), (0.25, 2.25), (0, 2.25), (0.5, 2.75), (1, 3.75)]
    assert (counter.sent, counter.cleared) == (0, 0), "nothing of it was taken yet"
    counter.zero()
    counter.tell = None
    counter.inc(5)
    assert list(counter.cells) == [5]


def test_a_gauge():
    """It keeps the last number, with the time, and tells each; all else changes nothing and is not told."""
    told = []
    gauge = Gauge(identify("gauge", ["g"], None), lambda one, value: told.append((value, one.cells[0])))
    assert list(gauge.cells) == [0, 0]
    before = time()
    for value in (2, -1e300, 1e300, Decimal("-0.25"), *(value for value in NO_NUMBERS if value != -0.5)):
        gauge.set(value)
    assert told == [(value, value) for value in (2, -1e300, 1e300, -0.25)]
    assert before <= gauge.cells[1] <= time()
    assert (gauge.sent, gauge.cleared) == ((0, 0), (0, 0)), "nothing of it was taken yet"
    gauge.tell = None
    gauge.set(-5)
    assert gauge.cells[0] == -5


def test_a_timer():
    """Each duration of 0 or more is in the sum, in the first bucket whose bound it is not above, and told."""
    told = []
    timer = Timer(identify("timer", ["t"], None), lambda one, value: told.append((value, one.count())), (0.25, 1.0))
    assert (timer.least, timer.most) == (math.inf, 0)
    for value in (0.5, 1, 8, Decimal("0.25"), 0, -1, *NO_NUMBERS):
        timer.observe(value)
    assert list(timer.cells) == [9.75, 2, 2, 1]
    assert (timer.least, timer.most) == (0, 8)
    assert told == [(0.5, 1), (1, 2), (8, 3), (0.25, 4), (0, 5)]
    assert (timer.sent, timer.cleared) == ((0, 0), (0, 0)), "nothing of it was taken yet"
    timer.tell = None
    timer.zero()
    assert (list(timer.cells), timer.least, timer.most) == ([0, 0, 0, 0], math.inf, 0)
    timer.observe(2)
    assert (list(timer.cells), timer.least, timer.most) == ([2, 0, 0, 1], 2, 2)


def test_values_that_wait():
    """Where values are kept they wait in order; who records the 500th sends them, and they go with all the rest."""
    bursts = []
    timer = Timer(identify("timer", ["t"], None), None, ())
    timer.kept, timer.burst = deque(), lambda one: bursts.append(list(one.kept))
    for number in range(499):
        timer.observe(number)
    assert bursts == []
    timer.observe(499)
    assert bursts == [list(range(500))]
    timer.zero()
    assert not timer.kept


class _Recorded(list):
    """Numbers of a series that another thread records to while it goes on in other memory."""

    def __init__(self, numbers, record):
        super().__init__(numbers)
        self._record = record

    def __iter__(self):
        """Give the numbers as they were, and record meanwhile."""
        numbers = list.copy(self)
        self._record()
        return iter(numbers)


def test_other_memory():
    """A series goes on in other memory with what it had; what is recorded meanwhile is kept, of a gauge the newest."""
    counter, timer = (
        Counter(identify("counter", ["c"], None), None),
        Timer(identify("timer", ["t"], None), None, (1.0,)),
    )
    for series, record in ((counter, counter.inc), (timer, lambda: timer.observe(2))):
        record()
        series.cells = _Recorded(series.cells, record)
        moved = memoryview(bytearray(8 * len(series.cells))).cast("d")
        series.move(moved)
        record()
        assert series.cells is moved
    assert counter.cells[0] == 3
    assert (timer.cells[0], timer.count()) == (6, 3)
    gauge = Gauge(identify("gauge", ["g"], None), None)
    gauge.set(1)
    when = gauge.cells[1]
    gauge.move(memoryview(bytearray(16)).cast("d"))
    assert tuple(gauge.cells) == (1, when)
    newer = memoryview(bytearray(16)).cast("d")
    newer[0], newer[1] = 2, when + 1  # set by another thread once it saw the new memory
    gauge.move(newer)
    assert tuple(gauge.cells) == (2, when + 1)


def test_what_was_found_under_a_lock_is_said_later(caplog):
    """All that waits is said once, in order, with the traceback of an error; of what nobody says the newest 100."""
    log, error = logging.getLogger("c2c_stats"), ZeroDivisionError("the cause")
    later(log, "of %s", "an error", error=error)
    later(log, "of none")
    assert not caplog.messages
    say()
    assert [(one.getMessage(), one.exc_info and one.exc_info[1]) for one in caplog.records] == [
        ("of an error", error),
        ("of none", None),
    ]
    for number in range(150):
        later(log, "%s", number)
    say()
    assert caplog.messages[2:] == [str(number) for number in range(50, 150)]


def test_series_of_a_metric_are_limited(caplog):
    """The first 1,000 are themselves for ever; all others one that has the names of their tags; said once, by tag."""
    guard = Guard()
    name = "hits" * 50
    known = [identify("counter", [name], {"method": "GET", "user": number}) for number in range(1_000)]
    routes = [
        Identity("timer", ("route",), (("route", one),), ("route", one), ()) for one in map(str, range(1_002))
    ]  # automatic ones, whose labels are in their path
    for _ in range(2):
        assert all(guard.admit(one) is one for one in known + routes[:1_000])
        over = {guard.admit(identify("counter", [name], {"method": "POST", "user": number})) for number in (1, 2)}
        pairs = (("method", OVERFLOW), ("user", OVERFLOW))
        assert over == {Identity("counter", (name,), pairs, (name,), pairs)}
        over = {guard.admit(one) for one in routes[1_000:]}
        assert over == {Identity("timer", ("route",), (("route", OVERFLOW),), ("route", OVERFLOW), ())}
    say()
    assert [message.replace(name[:100], "NAME") for message in caplog.messages] == [
        f"Metric {name} has more than 1000 series because of its tag {tag!r}: later ones are one overflow series"
        for name, tag in (("NAME", "user"), ("route", "route"))
    ]


def test_names_are_limited(caplog):
    """The first 1,000 metrics of a kind are themselves for ever; all others are one; said once a kind."""
    guard = Guard()
    for kind in ("counter", "gauge"):
        known = [identify(kind, [str(number)], None) for number in range(1_000)]
        for _ in range(2):
            assert all(guard.admit(one) is one for one in known)
            over = {guard.admit(identify(kind, [x * 200], {"a": x})) for x in "xy"}
            assert over == {Identity(kind, (OVERFLOW,), (), (OVERFLOW,), ())}
    say()
    assert caplog.messages == [
        f"More than 1000 {kind}s: {'x' * 100!r} and all later ones are counted as one; put what varies into a tag"
        for kind in ("counter", "gauge")
    ]
