"""The calls of the API, recorded by the memory backend."""

import threading
import time
from decimal import Decimal
from fractions import Fraction

import pytest

import c2c_stats as stats


def test_timer_context_records_success_only(memory):
    """A block that raises is not recorded."""
    with stats.timer_context(["toto", "tutu"]):
        time.sleep(0.01)
    with pytest.raises(ZeroDivisionError), stats.timer_context(["toto", "tutu"]):
        _ = 1 / 0
    timer = memory()["timers"]["toto/tutu"]
    assert timer["nb"] == 1
    assert 10 <= timer["min_ms"] == timer["avg_ms"] == timer["max_ms"] < 60_000


def test_outcome_timer_context_tells_success_from_failure(memory):
    """Without tags the outcome is the last part of the key."""
    with stats.outcome_timer_context(["toto"]):
        pass
    with pytest.raises(ZeroDivisionError), stats.outcome_timer_context(["toto"]):
        _ = 1 / 0
    assert {key: one["nb"] for key, one in memory()["timers"].items()} == {"toto/success": 1, "toto/failure": 1}


def test_outcome_timer_context_with_tags():
    """With tags on the outcome is a tag, 1 or 0."""
    from c2c_stats._sink import SINK
    from c2c_stats._stats_view import key_of

    stats.init_backends({"c2c.stats_view": "true", "c2c.statsd_use_tags": "true"})
    with stats.outcome_timer_context(["toto"]):
        pass
    with pytest.raises(ZeroDivisionError), stats.outcome_timer_context(["toto"], tags={"a": "b"}):
        _ = 1 / 0
    assert {key_of(one.identity) for one in SINK.all()} == {"toto/success=1", "toto/a=b/success=0"}


def test_timer_returns_seconds_and_takes_a_final_key(memory):
    """The final key and tags replace the first ones; without any key nothing is recorded."""
    assert stats.timer().stop() >= 0
    assert memory()["timers"] == {}
    assert isinstance(stats.timer(["a"], {"x": "y"}).stop(), float)
    stats.timer(["a"], {"x": "y"}).stop(["b"], {"z": "1"})
    stats.timer().stop(["c"])
    assert set(memory()["timers"]) == {"a/x=y", "b/z=1", "c"}


def test_counters_and_gauges(memory):
    """Counters add up, gauges keep the last value, a slash in a part of a key becomes an underscore."""
    stats.increment_counter(["test", "counter"])
    stats.increment_counter(["test", "counter"], 2)
    stats.increment_counter(["test", "counter"], increment=0.5)
    stats.set_gauge(["test", "gauge/s"], 1, tags={"value": 24, "toto": "tutu"})
    stats.set_gauge(["test", "gauge/s"], 42, tags={"toto": "tutu", "value": 24})
    assert memory() == {
        "timers": {},
        "gauges": {"test/gauge_s/toto=tutu/value=24": 42},
        "counters": {"test/counter": 3.5},
    }


def test_bound_handles(memory):
    """A bound handle is the same series as the call with its key."""
    counter = stats.bound_counter(["a"], tags={"x": "y"})
    counter.inc()
    counter.inc(4)
    stats.increment_counter(["a"], tags={"x": "y"})
    stats.bound_gauge(["g"]).set(3)
    timer = stats.bound_timer(["t"])
    timer.observe(0.5)
    timer.observe(0.25)
    found = memory()
    assert found["counters"] == {"a/x=y": 6}
    assert found["gauges"] == {"g": 3}
    assert found["timers"]["t"]["nb"] == 2
    assert found["timers"]["t"]["max_ms"] == 500


def test_bound_handles_outlive_configuration():
    """A handle made before anything is configured, at import, works after it was, and after it was again."""
    counter = stats.bound_counter(["early"])
    counter.inc()
    for _ in range(2):
        stats.init_backends({"c2c.stats_view": "true"})
        counter.inc()
        stats.increment_counter(["early"])
        assert stats.BACKENDS["memory"].snapshot()["counters"] == {"early": 2}


def test_off_by_default():
    """Without backends nothing is recorded, and BACKENDS is false."""
    assert not stats.BACKENDS
    assert dict(stats.BACKENDS) == {}
    stats.increment_counter(["a"])
    with stats.timer_context(["a"]):
        pass
    assert stats.timer(["a"]).stop() >= 0
    stats.init_backends({"c2c.stats_view": "true"})
    assert stats.BACKENDS
    assert list(stats.BACKENDS) == ["memory"]
    assert stats.BACKENDS["memory"].snapshot() == {"timers": {}, "gauges": {}, "counters": {}}


def test_values_that_look_alike_are_told_apart(memory):
    """1, 1.0, True and "1" are equal to a dict, not to people."""
    for value in (1, True, 1.0, "1", 1):
        stats.increment_counter(["a"], tags={"v": value})
    assert memory()["counters"] == {"a/v=1": 3, "a/v=True": 1, "a/v=1.0": 1}


class Unusable:
    """Neither to be iterated, nor hashed, nor written."""

    def _fails(self, *arguments):
        raise RuntimeError

    __iter__ = __hash__ = __str__ = __bool__ = items = _fails


def test_strange_input_never_raises(memory):
    """Keys, tags and values that make no sense cost nothing but the metric."""
    stats.increment_counter(None)
    stats.increment_counter(["a"], tags="x")
    stats.increment_counter([["list"], None], tags={"k": None, 3: ["unhashable"]})
    stats.increment_counter(["n"], "many")
    stats.increment_counter(["n"], -1)
    stats.increment_counter(["n"], float("nan"))
    stats.set_gauge(["n"], float("nan"))
    stats.set_gauge(["n"], float("inf"))
    stats.set_gauge(["n"], None)
    with stats.timer_context(5):
        pass
    for key, tags in ((5, None), (["a"], ["x"]), (Unusable(), None), ([Unusable()], None), (["a"], Unusable())):
        stats.increment_counter(key, 1, tags)
        stats.set_gauge(key, 1, tags)
        stats.timer(key, tags).stop()
        with stats.timer_context(key, tags), stats.outcome_timer_context(key, tags):
            pass
    for seconds in (float("nan"), float("inf"), -1, "long", None):
        stats.bound_timer(["t"]).observe(seconds)
    stats.increment_counter(["x" * 10_000, "spaces and\nnew lines", "é😀\ud800"])
    found = memory()
    assert found["gauges"].keys() == {"_"}
    assert "t" not in found["timers"]
    assert "n" not in found["counters"]
    assert "['list']/None/3=['unhashable']" in found["counters"]
    assert max(len(part) for key in found["counters"] for part in key.split("/")) == 450


def test_numbers_of_every_kind(memory):
    """What converts to a float is one; what is out of all bounds, or raises, changes nothing and raises nothing."""

    class Float32:
        def __float__(self):
            return 2.5

    class Raises:
        def __le__(self, other):
            raise RuntimeError

        __lt__ = __ge__ = __gt__ = __le__

    good = {"decimal": Decimal("2.5"), "fraction": Fraction(5, 2), "float32": Float32()}
    bad = [10**400, -(10**400), 1e301, Decimal("NaN"), Decimal("sNaN"), Decimal("1e999"), "5", b"5", 1j, [], Raises()]
    timers = {name: stats.bound_timer([name]) for name in [*good, "bad"]}
    for _ in range(2):
        for name, value in [*good.items(), *(("bad", value) for value in bad)]:
            stats.increment_counter([name], value)
            stats.set_gauge([name], value)
            timers[name].observe(value)
    found = memory()
    assert found["counters"] == dict.fromkeys(good, 5)
    assert found["gauges"] == dict.fromkeys(good, 2.5)
    assert found["timers"] == {name: {"nb": 2, "avg_ms": 2500.0, "min_ms": 2500.0, "max_ms": 2500.0} for name in good}


def test_eight_threads_count_exactly(memory):
    """8 threads x 10^6 increments: not one is lost, of bound handles, calls and timers."""
    counter, timer = stats.bound_counter(["bound"]), stats.bound_timer(["timer"])

    def work():
        inc = counter.inc
        for _ in range(1_000_000):
            inc()
        for _ in range(100_000):
            stats.increment_counter(["plain"], tags={"a": "b"})
            timer.observe(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = memory()
    assert found["counters"] == {"bound": 8_000_000, "plain/a=b": 800_000}
    assert found["timers"]["timer"]["nb"] == 800_000
    assert found["timers"]["timer"]["avg_ms"] == 1000


def test_backends_of_users(memory, caplog):
    """An object that is put into BACKENDS gets each value; one that fails is logged once and hurts nobody."""
    seen = []

    class Mine:
        def timer(self, key, duration, tags=None):
            seen.append(("timer", key, duration > 0, tags))

        def gauge(self, key, value, tags=None):
            seen.append(("gauge", key, value, tags))

        def counter(self, key, increment, tags=None):
            raise ValueError("broken")

    stats.set_gauge(["before"], 1)
    stats.BACKENDS["mine"] = Mine()
    stats.set_gauge(["g"], 2, tags={"a": 1})
    with stats.timer_context(["t"]):
        pass
    stats.increment_counter(["c"])
    stats.increment_counter(["c"])
    del stats.BACKENDS["mine"]
    stats.set_gauge(["after"], 3)
    assert seen == [("gauge", ["g"], 2, {"a": "1"}), ("timer", ["t"], True, None)]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert memory()["counters"] == {"c": 2}


def test_built_in_backends_take_values(memory):
    """The backends in BACKENDS are objects with timer, gauge and counter."""
    backend = stats.BACKENDS["memory"]
    backend.timer(["t"], 0.25, {"a": "b"})
    backend.gauge(["g"], 1)
    backend.counter(["c"], 2)
    found = memory()
    assert found["timers"]["t/a=b"]["avg_ms"] == 250
    assert found["gauges"] == {"g": 1}
    assert found["counters"] == {"c": 2}
