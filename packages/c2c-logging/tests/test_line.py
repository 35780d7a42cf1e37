"""Lines of JSON: complete, strict, one a record, whatever the record."""

import io
import itertools
import json
import logging
import threading
import time
from collections import OrderedDict, UserString
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c2c_logging import JsonLogHandler, _line, _texts

CANARY = "s3cr3t-canary"


class Colour(Enum):
    """An enum."""

    RED = "red"


class Number(IntEnum):
    """An enum of numbers."""

    ONE = 1


class Raises:
    """An object whose text can't be had."""

    def __str__(self):
        """Raise."""
        raise ValueError("no text")

    __repr__ = __str__


def raised(error):
    """Return an exception that was raised, with its traceback."""
    try:
        raise error
    except type(error):
        return error


def test_a_line_has_the_fields_of_the_contract(log):
    """Each field is there, under its name, with its type."""
    log.info("hello %s", "world", extra={"answer": 42})
    (line,) = log.lines()
    assert line["msg"] == "hello world"
    assert line["level"] == 6
    assert line["level_name"] == "INFO"
    assert line["logger_name"] == line["source_facility"] == "app.views"
    assert line["file"] == __file__
    assert line["function"] == "test_a_line_has_the_fields_of_the_contract"
    assert line["answer"] == 42
    assert isinstance(line["line"], int)
    assert isinstance(line["pid"], int)
    assert abs(line["timestamp"] - datetime.now(UTC).timestamp()) < 60
    assert line["host"]
    assert line["thread_name"] == threading.current_thread().name
    assert line["process_name"] == "MainProcess"
    assert "full_message" not in line
    assert "request_id" not in line


@pytest.mark.parametrize(
    ("level", "number"),
    [
        (logging.CRITICAL, 2),
        (60, 2),
        (logging.ERROR, 3),
        (logging.WARNING, 4),
        (logging.INFO, 6),
        (25, 6),
        (10, 7),
        (1, 7),
    ],
)
def test_levels_are_those_of_syslog(log, level, number):
    """Each level of logging has a severity of RFC 5424, one's own levels that of the level below."""
    log.setLevel(1)
    log.log(level, "x")
    assert log.lines()[0]["level"] == number


def test_an_exception_is_told_whole(log):
    """The traceback, and the mark that it is there."""
    log.error("failed", exc_info=raised(LookupError("nothing there")))
    (line,) = log.lines()
    assert line["full_msg"] == "true"
    assert line["full_message"].startswith("Traceback (most recent call last):\n")
    assert line["full_message"].endswith("LookupError: nothing there\n")


def test_exc_info_without_an_exception_adds_nothing(log):
    """``exception()`` outside of an except clause is a message."""
    log.error("failed", exc_info=True)  # noqa: LOG014 # that is the point
    assert "full_message" not in log.lines()[0]


def test_the_stack_that_was_asked_for(log):
    """``stack_info=True`` is part of the full message."""
    log.info("here", stack_info=True)
    assert "test_the_stack_that_was_asked_for" in log.lines()[0]["full_message"]


def test_a_record_that_crossed_a_queue(log):
    """QueueHandler leaves the text of the traceback only."""
    log.handle(logging.makeLogRecord({"msg": "x", "levelno": 40, "exc_text": "Traceback ...\nValueError: y"}))
    assert log.lines()[0]["full_message"].endswith("ValueError: y")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (float("nan"), None),
        (float("-inf"), None),
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        (-(2**70), str(-(2**70))),
        ("plain", "plain"),
        ("Zürich \N{GRINNING FACE}", "Zürich \N{GRINNING FACE}"),
        ("\ud800 alone", "\\ud800 alone"),
        (b"bytes \xff", "bytes \\xff"),
        ({1: {2: 3}}, {"1": {"2": 3}}),
        ({(1, 2): "tuple", b"b": "bytes", None: "none"}, {"(1, 2)": "tuple", "b": "bytes", "None": "none"}),
        ({1: "a", "1": "b"}, {"1": "a", "1_": "b"}),
        ([1, (2, [3])], [1, [2, [3]]]),
        ({"x": float("nan")}, {"x": None}),
        ({"n": 2**64, "t": "ü"}, {"n": str(2**64), "t": "ü"}),
        (frozenset([1]), [1]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (Colour.RED, "red"),
        (Number.ONE, 1),
        ([Colour.RED], ["red"]),
        (Decimal("1.10"), "1.10"),
        (Path("/a/b"), "/a/b"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([UUID(int=1)], ["00000000-0000-0000-0000-000000000001"]),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        ([datetime(2026, 1, 2, tzinfo=UTC)], ["2026-01-02 00:00:00+00:00"]),
        (UserString("u"), "u"),
        (Raises(), "<Raises whose str() raised ValueError>"),
        ([Raises()], ["<Raises whose str() raised ValueError>"]),
        ([10**5000], ["<int whose str() raised ValueError>"]),
    ],
)
@pytest.mark.parametrize("with_orjson", [True, False])
def test_extras_of_each_kind(log, monkeypatch, value, shown, with_orjson):
    """Each value becomes what JSON can say of it; the same with orjson and without."""
    if not with_orjson:
        monkeypatch.setattr(_line, "orjson", None)
    log.info("x", extra={"value": value})
    assert log.lines()[0]["value"] == shown


class Undecided:
    """Neither true nor false, as an array of NumPy is."""

    def __bool__(self):
        raise ValueError("ambiguous")

    def __str__(self):
        return "[1 2]"


def test_values_without_truth(log):
    """They cost no other field of the line, and are masked where their name says so."""
    log.info("x", extra={"array": Undecided(), "nested": {"array": Undecided(), "token": Undecided()}, "n": 1})
    log.info("x", extra={"password": Undecided(), "n": 1})
    first, second = log.lines()
    assert (first["array"], first["nested"], first["n"]) == ("[1 2]", {"array": "[1 2]", "token": "***"}, 1)
    assert (second["password"], second["n"], second["logger_name"]) == ("***", 1, first["logger_name"])
    assert "format_error" not in first


def test_cycles_end(log):
    """A structure that holds itself is cut, and the line says so."""
    endless: dict[str, object] = {"a": 1}
    endless["self"] = endless
    listed: list[object] = []
    listed.append(listed)
    log.info("x", extra={"endless": endless, "listed": listed})
    (line,) = log.lines()
    assert line["endless"]["self"]["self"]["a"] == 1
    assert line["truncated"] is True


class Endless(Mapping):
    """A mapping that has always one more."""

    def __iter__(self):
        """Never end."""
        return itertools.count()

    def __len__(self):
        """Say something."""
        return 1

    def __getitem__(self, key):
        """Give anything."""
        return key


def test_what_has_no_end_is_left_where_a_line_is_full(log):
    """So many values are looked at, however many there are."""
    log.info("x", extra={"odd": Endless()})
    (line,) = log.lines()
    assert line["truncated"] is True


def test_so_many_characters_are_asked_for(log):
    """Objects are not made texts of once there are more than a line takes."""
    asked = []

    class Long:
        def __str__(self):
            asked.append(1)
            return "x" * 10_000

    log.info("x", extra={"many": [Long() for _ in range(1_000)]})
    (line,) = log.lines()
    assert line["truncated"] is True
    assert len(asked) < 10


def test_so_many_values_are_looked_at(log):
    """However short they are."""
    asked = []

    class Empty:
        def __str__(self):
            asked.append(1)
            return ""

    log.info("x", extra={"many": [Empty() for _ in range(10_000)]})
    (line,) = log.lines()
    assert line["truncated"] is True
    assert len(asked) < 3_000


def test_depth_is_bounded(log):
    """What lies deeper than anybody looks is left out, and the line says so."""
    value = "x"
    for _ in range(40):
        value = [value]
    log.info("x", extra={"deep": value})
    (line,) = log.lines()
    assert line["truncated"] is True
    assert 5 < json.dumps(line["deep"]).count("[") < 40


def test_names_are_bounded(log):
    """A name of a thousand characters is cut, wherever it stands."""
    log.info("x", extra={"k" * 1_000: 1, "odd": {b"b" * 1_000: 1}})
    (line,) = log.lines()
    assert "k" * 200 in line
    assert list(line["odd"]) == ["b" * 200]


@pytest.mark.parametrize("created", [float("nan"), 1e300, -1.0, "yesterday", None])
def test_a_record_of_no_time(log, created):
    """Its line is whole, and of now."""
    record = log.makeRecord("n", 20, "f.py", 1, "x", (), None)
    record.created = created
    before = time.time()
    log.handlers[0].emit(record)
    (line,) = log.lines()
    assert before - 1 <= line["timestamp"] <= time.time() + 1
    assert (line["msg"], line["logger_name"]) == ("x", "n")


def test_reserved_names_move(log):
    """An extra never stands in for a field of ours, and two never share a name."""
    log.info("x", extra={"host": "a", "path": "b", "extra_path": "c", "_private": "d", "private": "e", "__": "f"})
    (line,) = log.lines()
    assert line["extra_host"] == "a"
    assert {line["extra_path"], line["extra_extra_path"]} == {"b", "c"}
    assert {line["private"], line["extra_private"]} == {"d", "e"}
    assert line["extra"] == "f"
    assert line["host"] != "a"


def test_keys_of_any_type(log):
    """A record's attributes may have been set by anybody, to anything."""
    record = log.makeRecord("n", 20, "f.py", 1, "x", (), None)
    record.__dict__.update({("a", 1): 1, b"b": 2, None: 3, "\ud800": 4, "new\nline": 5})
    log.handle(record)
    (line,) = log.lines()
    assert (line["('a', 1)"], line["b"], line["None"], line["\\ud800"], line["new\nline"]) == (1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    "text", ["one\ntwo", "one\r\ntwo", "a\u2028b\u2029c\u0085d\x0be\x0c", "\x1b[31mred", "\u202egnp.exe", "nul \0"]
)
def test_no_new_line_forges_a_line(log, text):
    """Whatever ends a line for somebody is escaped; the text comes back as it was."""
    log.info("%s", text, extra={"extra_text": text})
    (line,) = log.lines()
    assert line["msg"] == line["extra_text"] == text
    assert log.text().isascii()
    assert log.text()[:-1].isprintable()


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("%d apples", ("many",)),
        ("%s and %s", ("one",)),
        ("no place", (1, 2)),
        ("%s", (Raises(),)),
        ("100%", (1,)),
        ("%(a)s", ({"b": 1},)),
    ],
)
def test_a_message_that_can_not_be_formatted_is_not_lost(log, message, args):
    """Format and arguments are there, and what was wrong."""
    log.info(message, *args)
    (line,) = log.lines()
    assert line["msg"].startswith(message)
    assert "Error" in line["format_error"]


def test_messages_that_are_no_text(log):
    """A message may be any object."""
    for message in (42, None, {"a": 1}, Raises(), ValueError("v")):
        log.info(message)
    texts = [line["msg"] for line in log.lines()]
    assert texts == ["42", "None", "{'a': 1}", "<Raises whose str() raised ValueError>", "v"]


@pytest.mark.parametrize(
    "extra",
    [
        {"big": "x" * 10_000_000},
        {"big": "\N{GRINNING FACE}" * 100_000},
        {"big": ["x" * 100] * 100_000},
        {"big": {str(i): i for i in range(100_000)}},
        {f"key{i}": "y" * 100 for i in range(2_000)},
        {"deep": json.loads("[" * 900 + "]" * 900)},
    ],
)
def test_ten_megabytes_fit(log, extra):
    """The line is short enough, strict, marked, and the message survives."""
    log.info("the message", extra=extra)
    (line,) = log.lines()
    assert line["truncated"] is True
    assert line["msg"] == "the message"


def test_what_is_far_too_long_is_cut_before_it_is_looked_at(log, monkeypatch):
    """Masking takes its time: of 10 MB no more is looked at than a line can hold."""
    seen = []
    mask = _texts.masker()
    monkeypatch.setattr(_texts, "masker", lambda: lambda text, limit: seen.append(len(text)) or mask(text, limit))
    log.info("y" * 10_000_000, extra={"big": "x" * 10_000_000})
    assert max(seen) <= 40_000


def test_a_long_message_and_a_long_traceback(log):
    """Both ends stay: how it began, and what happened in the end."""
    log.error("first %s last", "y" * 10_000_000, exc_info=raised(ValueError("begin " + "x" * 10_000_000)))
    (line,) = log.lines()
    assert line["truncated"] is True
    assert line["msg"].startswith("first yyy")
    assert line["full_message"].startswith("Traceback")
    assert "ValueError: begin" in line["full_message"]


def test_secrets_are_masked_everywhere(log):
    """Message, arguments, extras by name and by text, nested ones, keys' values, exceptions: no canary survives."""
    log.error(
        "password=%s",
        CANARY,
        exc_info=raised(ValueError(f"postgresql://u:{CANARY}@h/d")),
        extra={
            "password": CANARY,
            "url": f"redis://:{CANARY}@h",
            "nested": {"token": CANARY, "list": [f"secret={CANARY}"]},
            "headers": {"Authorization": f"Bearer {CANARY}"},
            "object": UserString(f"api_key={CANARY}"),
        },
    )
    assert CANARY not in log.text()
    assert log.lines()[0]["nested"]["token"] == "***"


def test_a_known_secret_is_masked_wherever_it_stands(log, make_app):
    """What the application's settings say is secret does not leave, in whatever words."""
    make_app(**{"c2c.secret": "correct-horse-battery"})
    log.info(
        "he typed correct-horse-battery", extra={"x": ["correct-horse-battery"], "y": {"z": "correct-horse-battery"}}
    )
    assert "correct-horse-battery" not in log.text()
    assert log.text().count("***") == 3


def test_a_secret_cut_in_half_is_no_less_a_secret(log, make_app):
    """Texts are cut after they are masked."""
    make_app(**{"c2c.secret": "correct-horse-battery"})
    for length in range(39_980, 40_001):
        log.info("%s", "x" * length + "correct-horse-battery")
    assert "correct" not in log.text()


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=50)
    | st.binary(max_size=50)
    | st.builds(Raises)
    | st.datetimes()
    | st.decimals(),
    lambda children: (
        st.lists(children, max_size=4)
        | st.tuples(children)
        | st.dictionaries(
            st.text(st.characters(), max_size=9) | st.integers() | st.binary(max_size=5) | st.tuples(st.integers()),
            children,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    message=_VALUES,
    args=st.lists(_VALUES, max_size=3),
    extras=st.dictionaries(st.text(st.characters(), max_size=12), _VALUES, max_size=4),
)
def test_any_record_gives_one_strict_line(strict, message, args, extras):
    """Whatever is logged: one line, strict JSON, no name twice, never an exception."""
    stream = io.StringIO()
    record = logging.LogRecord("n", 20, "f.py", 1, message, tuple(args), None)
    for name, value in extras.items():
        record.__dict__.setdefault(name, value)
    JsonLogHandler(stream).emit(record)
    lines = stream.getvalue().split("\n")
    assert len(lines) == 2
    assert lines[1] == ""
    found = strict(lines[0])
    assert "msg" in found


@settings(max_examples=500, deadline=None)
@given(value=_VALUES, with_orjson=st.booleans())
def test_what_is_usual_is_written_as_the_careful_walk_has_it(value, with_orjson):
    """The quick look at dicts and lists changes nothing of what is said, secrets and odd values included."""
    before = _line.orjson
    _line.orjson = before if with_orjson else None
    try:
        assert json.loads(_line.value_text(value, _line.Walk())) == json.loads(_line.dumps(_line.Walk().plain(value)))
    finally:
        _line.orjson = before


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(attributes=st.dictionaries(st.sampled_from(sorted(logging.makeLogRecord({}).__dict__)), _VALUES, max_size=5))
def test_any_attributes_give_one_strict_line(strict, attributes):
    """A record whose own attributes are anything at all gives a line too."""
    stream = io.StringIO()
    record = logging.LogRecord("n", 20, "f.py", 1, "x", (), None)
    record.__dict__.update(attributes)
    JsonLogHandler(stream).emit(record)
    assert "msg" in strict(stream.getvalue()[:-1])


def test_a_record_without_its_attributes(log):
    """Even an attribute that is gone does not lose the line."""
    for name in list(logging.makeLogRecord({}).__dict__):
        record = log.makeRecord("n", 20, "f.py", 1, "still here", (), None)
        record.__dict__.pop(name)
        log.handlers[0].emit(record)
    assert len(log.lines()) == len(logging.makeLogRecord({}).__dict__)
    assert sum(line["msg"] == "still here" for line in log.lines()) >= len(log.lines()) - 1


def test_subclasses_may_add_to_the_line(strict):
    """``format`` gives the JSON, and ``emit`` writes what ``format`` gives."""

    class Mine(JsonLogHandler):
        def format(self, record):
            return json.dumps({**json.loads(super().format(record)), "team": "blue"})

        def emit(self, record):
            record.msg = f"({record.msg})"
            super().emit(record)

    stream = io.StringIO()
    Mine(stream=stream).emit(logging.makeLogRecord({"msg": "x"}))
    line = strict(stream.getvalue()[:-1])
    assert (line["team"], line["msg"]) == ("blue", "(x)")


def test_without_a_stream_it_is_standard_error(capsys, strict):
    """None means what it means for logging.StreamHandler."""
    JsonLogHandler(None).emit(logging.makeLogRecord({"msg": "x"}))
    assert strict(capsys.readouterr().err[:-1])["msg"] == "x"


def test_a_stream_that_fails_is_said_once(capfd):
    """Neither an exception nor a traceback a record: one line on standard error."""
    stream = io.StringIO()
    handler = JsonLogHandler(stream)
    stream.close()
    for _ in range(3):
        handler.handle(logging.makeLogRecord({"msg": "x"}))
    assert capfd.readouterr().err.count("log lines can't be written") == 1


def test_a_stream_of_a_small_encoding(tmp_path, strict):
    """A line fits any stream: it is ASCII."""
    with (tmp_path / "log").open("w", encoding="ascii") as stream:
        JsonLogHandler(stream).emit(logging.makeLogRecord({"msg": "Zürich"}))
    assert strict((tmp_path / "log").read_text()[:-1])["msg"] == "Zürich"


def test_threads_do_not_mix_lines(tmp_path, strict):
    """Each of many threads' lines is whole."""
    path = tmp_path / "log"
    with path.open("w") as stream:
        logger = logging.Logger("t")  # noqa: LOG001 # of this test alone
        logger.addHandler(JsonLogHandler(stream))
        threads = [threading.Thread(target=lambda: [logger.info("x" * 500) for _ in range(200)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = path.read_text().split("\n")[:-1]
    assert len(lines) == 1600
    assert all(strict(line)["msg"] == "x" * 500 for line in lines)


def test_filters_of_the_handler_decide(log):
    """What a filter refuses is not written, and a filter may change the record."""

    def decide(record):
        record.msg = record.msg.upper()
        return record.msg != "NO"

    log.handlers[0].addFilter(decide)
    log.info("no")
    log.info("yes")
    assert [line["msg"] for line in log.lines()] == ["YES"]
