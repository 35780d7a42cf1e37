"""What a check may do: whatever it returns or raises is an outcome that a report can hold."""

import traceback

import pytest

from c2c_broadcast import ConfigurationError
from c2c_health import Degraded
from c2c_health._check import Check


@pytest.mark.parametrize("kind", [BaseException, GeneratorExit, KeyboardInterrupt, SystemExit, RecursionError])
def test_whatever_a_check_raises_is_its_failure(make, kind):
    """Exceptions that are no Exception, too; and the thread lives on."""
    runner = make()

    def run(request):
        raise kind("so there")

    for _ in range(3):
        verdict = runner.run([Check(name="wild", run=run)], None)["wild"]
        assert verdict.message == "so there"
        assert kind.__name__ in verdict.stacktrace
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

    assert make().run([Check(name="it", run=run)], None)["it"].message == message


@pytest.mark.parametrize("result", [{1, 2}, object(), float("nan"), b"x", {("a",): 1}, "x" * 300_000])
def test_a_result_that_json_cannot_hold_is_a_failure(make, result):
    """It names what is wrong with it."""
    verdict = make().run([Check(name="odd", run=lambda request: result)], None)["odd"]
    assert not verdict.passing
    assert verdict.message.startswith("returned ")


def test_a_stack_that_python_can_not_format(make, monkeypatch):
    """Before 3.11.5 threads that format at once made it raise SystemError (gh-106905): the text is there."""

    def broken(error):
        raise SystemError("AST constructor recursion depth mismatch")

    monkeypatch.setattr(traceback, "format_exception", broken)
    outcome = make().run([Check(name="it", run=lambda request: 1 / 0)], None)["it"]
    assert outcome.message == "division by zero"
    assert outcome.stacktrace == "ZeroDivisionError: division by zero"


def test_an_endless_stack_is_cut(make):
    """A report is of bounded size, whatever an exception drags along."""

    def run(request):
        raise ValueError("x" * 3_000_000) from OSError("y" * 3_000_000)

    outcome = make().run([Check(name="it", run=run)], None)["it"]
    assert len(outcome.stacktrace) < 30_000


def test_a_result_is_a_copy(make):
    """What a check does with its result later changes no report."""
    kept = {"list": [1]}
    verdict = make().run([Check(name="kept", run=lambda request: kept)], None)["kept"]
    kept["list"].append(2)
    assert verdict.result == {"list": [1]}


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
