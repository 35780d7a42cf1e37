"""Tracebacks walked by hand: what Python prints, without the marks under the source."""

import re
import sys
import traceback

import pytest

from c2c_logging._texts import exception_text


def by_python(error):
    """Return what Python prints, without lines of ``^^^`` marks."""
    text = "".join(traceback.format_exception(error))
    return re.sub(r"(?m)^\s+[\^~]+\s*\n", "", text)


def caught(function):
    """Return the exception that a function raises."""
    try:
        function()
    except BaseException as error:  # noqa: BLE001 # that is what is wanted
        return error
    raise AssertionError


class OwnError(Exception):
    """An exception of one's own."""


def plain():
    """Raise through two frames."""
    raise OwnError("with\nlines", 2)


def cause():
    """Raise from another."""
    try:
        plain()
    except OwnError as error:
        raise KeyError("missing") from error


def context():
    """Raise while another is handled."""
    try:
        cause()
    except KeyError:
        raise ValueError from caught(plain)


def suppressed():
    """Raise as if nothing had been before."""
    try:
        plain()
    except OwnError:
        raise ValueError("alone") from None


def noted():
    """Raise with notes."""
    error = ValueError("x")
    error.add_note("first note")
    error.add_note("second\nnote")
    raise error


def grouped():
    """Raise a group."""
    raise ExceptionGroup("several", [ValueError("a"), caught(plain)])


def misspelt():
    """Raise a syntax error."""
    compile("a b", "<text>", "exec")


@pytest.mark.parametrize("function", [plain, cause, context, suppressed, noted])
def test_it_is_what_python_prints(function):
    """Chains, causes and notes look as everybody knows them."""
    error = caught(function)
    assert exception_text(error) == by_python(error)


def test_a_syntax_error_shows_where():
    """The place in the text is what one wants of it."""
    error = caught(misspelt)
    text = exception_text(error)
    assert '  File "<text>", line 1\n    a b\n      ^\nSyntaxError: invalid syntax\n' in text


def test_groups_name_all_their_exceptions():
    """Each exception of a group is told."""
    error = caught(grouped)
    text = exception_text(error)
    assert "ExceptionGroup: several (2 sub-exceptions)" in text
    assert "ValueError: a" in text
    assert "OwnError" in text


def test_an_exception_that_was_never_raised():
    """Without a traceback there is the last line."""
    assert exception_text(ValueError("x")) == "ValueError: x\n"
    assert exception_text(KeyboardInterrupt()) == "KeyboardInterrupt\n"


def test_two_functions_that_call_each_other():
    """A recursion is cut in the middle: how it began and how it ended stays."""

    def even():
        odd()

    def odd():
        even()

    error = caught(even)
    text = exception_text(error)
    assert re.search(r"\[\d+ frames left out\]", text)
    assert text.endswith("\n")
    assert len(text.splitlines()) < 220


def test_a_chain_without_end():
    """An exception that is its own context ends."""
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    text = exception_text(first)
    assert text.count("first") == 1
    assert text.count("second") == 1


def test_an_exception_whose_text_raises():
    """The traceback is there even if the message can't be."""

    class Bad(Exception):  # noqa: N818 # a name for this test
        def __str__(self):
            raise ValueError

    error = caught(lambda: (_ for _ in ()).throw(Bad()))
    text = exception_text(error)
    assert "Traceback" in text
    assert "str() raised ValueError" in text


def test_secrets_in_source_and_message_are_masked():
    """Neither the line that raises nor what it says shows a password."""

    def connect():
        raise ValueError("password='hunter2-canary'")

    error = caught(connect)
    text = exception_text(error)
    assert "hunter2-canary" not in text
    assert "connect" in text


def test_source_that_is_gone():
    """Code of no file has its place, without a line of source."""
    scope = {}
    exec(compile("def f():\n    raise ValueError('x')", "<generated>", "exec"), scope)  # code of no file
    error = caught(scope["f"])
    assert '  File "<generated>", line 2, in f\nValueError: x\n' in exception_text(error)


def test_sys_exc_info_is_not_needed():
    """It works outside of the except clause."""
    error = caught(plain)
    assert sys.exc_info() == (None, None, None)
    assert "OwnError" in exception_text(error)


def test_a_chain_without_end_is_cut():
    """Of a hundred causes the last twenty are told: those that are nearest to what was seen."""
    error = ValueError("number 0")
    for number in range(1, 100):
        following = ValueError(f"number {number}")
        following.__cause__ = error
        error = following
    text = exception_text(error)
    assert text.count("direct cause") == 19
    assert text.startswith("ValueError: number 80\n")
    assert text.endswith("ValueError: number 99\n")
