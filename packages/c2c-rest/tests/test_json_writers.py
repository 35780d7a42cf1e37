import datetime as dt
import enum
import json
import math
import time
import uuid
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2c_rest._json import NotJsonError, Style, orjson_writer, plain, standard_writer, ujson_writer

STYLES = [
    Style(pretty=pretty, sort_keys=sort_keys, refuses_nan=refuses)
    for pretty in (True, False)
    for sort_keys in (True, False)
    for refuses in (True, False)
]
PRETTY = Style(refuses_nan=True)
NULLS = Style()


WRITERS = {"ujson": ujson_writer(PRETTY), "orjson": orjson_writer(PRETTY), "stdlib": standard_writer(PRETTY)}


class _Color(enum.Enum):
    RED = 1
    NOT_A_NUMBER = math.nan


class _Level(enum.IntEnum):
    LOW = 1


class _Word(str):
    __slots__ = ()


class _Half(float):
    __slots__ = ()


_Pair = namedtuple("_Pair", "left right")  # noqa: PYI024 # the kind of tuple that Pyramid's views return


@dataclass
class _Data:
    x: float


def _default(value):
    """Adapters, as a service has them: of what orjson would have written its own way, and of what it can't."""
    if isinstance(value, dt.datetime):
        return value.strftime("%d.%m.%Y")
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, _Data):
        return {"data": value.x}
    return plain(value)


_texts = st.text(st.characters(), max_size=8)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    _texts,
    st.sampled_from(["\ud800", "a\udfffb", "\x7f", "\x00", "e-5", "1e+16", '"1e-07"', "\u2028", "/", "\\1e-7", "null"]),
    st.sampled_from([1e16, 1e-5, -1.5e-7, 5e-324, -0.0, 1e300, 2**63, 2**64, -(2**63) - 1]),
    st.datetimes(),
    st.decimals(),
    st.uuids(),
    st.sampled_from(
        [*_Color, *_Level, _Word("word"), _Half(0.5), _Half("nan"), _Data(1.0), _Data(math.inf), _Pair(1, 2)]
    ),
)
_values = st.recursive(
    _scalars,
    lambda children: st.one_of(
        st.lists(children, max_size=4),
        st.tuples(children, children),
        st.builds(_Pair, children, children),
        st.dictionaries(_texts, children, max_size=4),
        st.dictionaries(st.one_of(_texts, st.integers(), st.none(), st.floats()), children, max_size=3),
        st.dictionaries(_texts, children, max_size=3).map(OrderedDict),
    ),
    max_leaves=20,
)


def _outcome(writer, value):
    try:
        return writer(value, _default)
    except NotJsonError:
        return NotJsonError


@pytest.mark.parametrize("style", STYLES, ids=str)
@given(_values)
@settings(max_examples=400)
def test_orjson_writes_the_bytes_of_the_standard_library(style, value):
    """The answer never depends on which of the two wrote it: the same text, or an error in both."""
    assert _outcome(orjson_writer(style), value) == _outcome(standard_writer(style), value)


# After keys that it can't sort ujson goes on with the error set, which Python 3.13 remarks upon.
_UJSON_GOES_ON = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@_UJSON_GOES_ON
@given(_values)
@settings(max_examples=400)
def test_what_is_written_is_strict_json(value):
    """Whatever is written can be encoded and read back, and holds no NaN."""

    def refuse(constant):
        raise AssertionError(constant)

    for writer in WRITERS.values():
        written = _outcome(writer, value)
        if written is not NotJsonError:
            json.loads(written, parse_constant=refuse)


@pytest.mark.parametrize("engine", WRITERS)
def test_the_form_is_indented_sorted_and_not_escaped(engine):
    """Indented by 2, keys sorted, non-ASCII and slashes as they are: the same from all three engines."""
    value = {"é/": ["straße", "\u2028", {}, []], "a": None, "B": [1, [2.5]], "c": {"z": True, "y": "</script>"}}
    assert WRITERS[engine](value, plain).decode() == (
        '{\n  "B": [\n    1,\n    [\n      2.5\n    ]\n  ],\n  "a": null,\n  "c": {\n    "y": "</script>",\n'
        '    "z": true\n  },\n  "é/": [\n    "straße",\n    "\u2028",\n    {},\n    []\n  ]\n}'
    )


@pytest.mark.parametrize("make", [ujson_writer, orjson_writer, standard_writer])
def test_the_switches_give_compact_and_unsorted_json(make):
    """Without pretty printing there is no space at all; without sorting the order is the value's."""
    assert make(Style(pretty=False, sort_keys=True))({"b": 1, "a": [1, 2]}, plain) == b'{"a":[1,2],"b":1}'
    assert make(Style(pretty=False, sort_keys=False))({"b": 1, "a": [1, 2]}, plain) == b'{"b":1,"a":[1,2]}'


def _cycle():
    value = {"a": []}
    value["a"].append(value)
    return value


def _deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


@_UJSON_GOES_ON
@pytest.mark.parametrize("engine", WRITERS)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": [1, {"x": math.nan}], "b": None}, "$.a[1].x is nan, a number that JSON does not have"),
        ([math.inf], "$[0] is inf"),
        (-math.inf, "$ is -inf"),
        (_cycle(), "$.a[0] contains itself"),
        (_deep(), "is nested too deeply"),
        ({"a": object()}, "$.a is a object, and no adapter makes JSON of it"),
        ({"a": b"bytes"}, "$.a is a bytes"),
        ({"a": {1, 2}}, "$.a is a set"),
        ({"a": dt.date(2026, 1, 1)}, "$.a is a date"),
        ([{"a": {1: 1, "a": 2}}, object()], "$[0].a has keys of several types (int, text)"),
        ([{"a": {1: 1, "a": 2}}, 2**64], "$[0].a has keys of several types (int, text)"),
        ({1: 1, "a": 2}, "$ has keys of several types (int, text)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_json_is_an_error_that_says_where(engine, value, reason):
    """NaN, infinity, cycles and unknown objects are an error naming the place, with every engine."""
    with pytest.raises(NotJsonError, match="can't be written as JSON") as caught:
        WRITERS[engine](value, plain)
    assert reason in str(caught.value)


@pytest.mark.parametrize("engine", WRITERS)
def test_a_lone_surrogate_is_escaped(engine):
    r"""A lone surrogate, which UTF-8 can't hold, is written as \ud800, not an encoding error later."""
    assert WRITERS[engine](["é\ud800"], plain) == '[\n  "é\\ud800"\n]'.encode()


def test_a_number_of_more_than_64_bits_is_written_by_the_standard_library():
    """The floats beside what orjson can't write look as orjson writes them."""
    writer = orjson_writer(Style(pretty=False))
    floats = writer([1e-5, 1e-7, 1e22], plain).decode()
    assert writer([2**70, 1e-5, 1e-7, 1e22, "1e-07"], plain).decode() == f'[{2**70},{floats[1:-1]},"1e-07"]'


@given(st.lists(st.one_of(st.floats(), st.none(), st.lists(st.floats(), max_size=3), _texts), max_size=8))
@settings(max_examples=300)
def test_an_odd_float_is_found_among_nulls(values):
    """Floats of any bits among nulls and texts are written, or refused, as by the standard library."""
    for value in ([None, *values], {"a": None, "b": values}, (None, *values)):
        assert _outcome(WRITERS["orjson"], value) == _outcome(WRITERS["stdlib"], value)


@pytest.mark.parametrize("writer", [orjson_writer(NULLS), standard_writer(NULLS)], ids=["orjson", "stdlib"])
def test_nan_and_infinities_are_null(writer):
    """NaN and infinities are null, also behind an adapter and beside what orjson can't write; texts stay."""
    value = {"a": [math.nan, math.inf, -math.inf, _Data(math.nan), _Color.NOT_A_NUMBER], "b": "NaN, -Infinity"}
    expected = {"a": [None, None, None, {"data": None}, None], "b": "NaN, -Infinity"}
    assert json.loads(writer(value, _default)) == expected
    assert json.loads(writer({**value, "c": 2**70}, _default)) == {**expected, "c": 2**70}


def test_an_odd_float_is_found_behind_an_adapter():
    """Where it is refused, a NaN that an adapter returned, among real nulls, is not written as null."""
    with pytest.raises(NotJsonError, match=r"\$\.b\.data is nan"):
        WRITERS["orjson"]({"a": None, "b": _Data(math.nan)}, _default)


def test_many_digits_take_no_time():
    """Integers of thousands of digits, which look like the start of a float, are looked through in linear time."""
    start = time.monotonic()
    orjson_writer(NULLS)([10**4000] * 200 + ["e-"], plain)
    assert time.monotonic() - start < 10


def test_an_error_of_an_adapter_is_its_own():
    """What an adapter raises is what the view's error is, not an error of JSON."""

    def broken(_value):
        raise LookupError("row is gone")

    for engine in ("orjson", "stdlib"):
        with pytest.raises(LookupError, match="row is gone"):
            WRITERS[engine]({"a": object()}, broken)


def test_braces_in_texts_are_no_fault():
    """An answer whose texts hold braces is looked at twice, and written."""
    assert WRITERS["ujson"](["{", 2**64], plain).decode() == f'[\n  "{{",\n  {2**64}\n]'


def test_uuids_and_enumerations_are_the_same_without_an_adapter():
    """A UUID is its text, an enumeration its value."""
    value = [uuid.UUID(int=1), _Color.RED, _Level.LOW]
    expected = ["00000000-0000-0000-0000-000000000001", 1, 1]
    assert json.loads(WRITERS["orjson"](value, plain)) == json.loads(WRITERS["stdlib"](value, plain)) == expected
