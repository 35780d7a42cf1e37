import datetime as dt
import subprocess
import sys
import uuid
from decimal import Decimal
from enum import Enum

import numpy as np
import pytest
from pyramid.config import Configurator
from pyramid.exceptions import ConfigurationConflictError
from pyramid.renderers import render
from pyramid.testing import DummyRequest

from c2c_broadcast import ConfigurationError

_RENDERERS = ["json", "fast_json", "cornice_json", "cornice_fast_json"]
_VALUE = {"é/": [1, 2.5], "a": {"z": None, "b": "straße"}}
_TEXT = '{\n  "a": {\n    "b": "straße",\n    "z": null\n  },\n  "é/": [\n    1,\n    2.5\n  ]\n}'


class _Color(Enum):
    RED = 1


class _Point:
    def __json__(self, request):
        return {"x": 1, "path": request.path}


class _Meters:
    value = 3


@pytest.fixture
def answering(make_app):
    """Give a function that makes an application whose view answers a value with a renderer."""

    def make(value, renderer, settings=(), configure=lambda config: None):
        def set_up(config):
            config.add_route("value", "/value")
            config.add_view(lambda request: value, route_name="value", renderer=renderer)
            configure(config)

        return make_app(set_up, settings)

    return make


@pytest.mark.parametrize("engine", ["ujson", "orjson", "stdlib"])
@pytest.mark.parametrize("renderer", _RENDERERS)
def test_the_form(answering, renderer, engine):
    """All four renderers, with all engines: indented by 2, sorted, nothing escaped, UTF-8, application/json."""
    answer = answering(_VALUE, renderer, {"c2c.json.engine": engine}).get("/value")
    assert answer.body.decode("utf-8") == _TEXT
    assert answer.content_type == "application/json"


@pytest.mark.parametrize("renderer", _RENDERERS)
def test_the_switches(answering, renderer, monkeypatch):
    """Two settings switch indentation and sorting off; the environment wins over the ini."""
    value = {"b": 1, "a": [1, 2]}
    compact = answering(value, renderer, {"c2c.json.pretty_print": "false"})
    assert compact.get("/value").text == '{"a":[1,2],"b":1}'
    neither = answering(value, renderer, {"c2c.json.pretty_print": "no", "c2c.json.sort_keys": "no"})
    assert neither.get("/value").text == '{"b":1,"a":[1,2]}'
    monkeypatch.setenv("C2C_JSON_PRETTY_PRINT", "true")
    monkeypatch.setenv("C2C_JSON_SORT_KEYS", "true")
    app = answering({"b": 1, "a": 2}, renderer, {"c2c.json.pretty_print": "no", "c2c.json.sort_keys": "no"})
    assert app.get("/value").text == '{\n  "a": 2,\n  "b": 1\n}'


def _adapters(config):
    config.add_json_adapter(dt.datetime, lambda value, request: value.isoformat())
    config.add_json_adapter(Decimal, lambda value, request: str(value))
    config.add_json_adapter(np.integer, lambda value, request: int(value))
    config.add_json_adapter(np.floating, lambda value, request: float(value))
    config.add_json_adapter(np.bool_, lambda value, request: bool(value))
    config.add_json_adapter(_Meters, lambda value, request: f"{value.value} m of {request.path}")


_ADAPTED = [
    (dt.datetime(2026, 11, 22, 10, 30, tzinfo=dt.UTC), '"2026-11-22T10:30:00+00:00"'),
    (Decimal("1.10"), '"1.10"'),
    (np.int64(3), "3"),
    (np.uint8(255), "255"),
    (np.float32(0.5), "0.5"),
    (np.bool_(True), "true"),
    (_Meters(), '"3 m of /value"'),
    (_Point(), '{"path":"/value","x":1}'),
]


@pytest.mark.parametrize("renderer", ["json", "cornice_json"])
@pytest.mark.parametrize(("value", "expected"), _ADAPTED, ids=lambda value: type(value).__name__)
def test_adapters(answering, renderer, value, expected):
    """Pyramid's adapters and __json__ decide how datetimes, decimals, numpy's scalars and own objects are written."""
    settings = {"c2c.json.pretty_print": "false"}
    app = answering({"b": value, "a": [value]}, renderer, settings, _adapters)
    assert app.get("/value").text == f'{{"a":[{expected}],"b":{expected}}}'


@pytest.mark.parametrize("renderer", ["json", "cornice_json"])
def test_values_that_need_no_adapter(answering, renderer):
    """A float64 of numpy is a float; a UUID is its text and an enumeration its value."""
    value = [np.float64(0.25), uuid.UUID(int=5), _Color.RED]
    app = answering(value, renderer, {"c2c.json.pretty_print": "false"})
    assert app.get("/value").text == '[0.25,"00000000-0000-0000-0000-000000000005",1]'


@pytest.mark.parametrize("renderer", ["json", "cornice_json"])
def test_an_adapter_for_what_orjson_writes_by_itself(answering, renderer):
    """An adapter for UUIDs, enumerations or any object is asked, although orjson would not; the others stay."""
    value = {"u": uuid.UUID(int=5), "c": _Color.RED}
    settings = {"c2c.json.pretty_print": "false"}

    def text(*types):
        def configure(config):
            for kind in types:
                config.add_json_adapter(kind, lambda value, request: f"<{value}>")

        return answering(value, renderer, settings, configure).get("/value").text

    plain = '"00000000-0000-0000-0000-000000000005"'
    assert text() == f'{{"c":1,"u":{plain}}}'
    assert text(_Color) == f'{{"c":"<_Color.RED>","u":{plain}}}'
    assert text(uuid.UUID) == '{"c":1,"u":"<00000000-0000-0000-0000-000000000005>"}'
    assert text(object) == '{"c":"<_Color.RED>","u":"<00000000-0000-0000-0000-000000000005>"}'


@pytest.mark.parametrize("renderer", ["fast_json", "cornice_fast_json"])
@pytest.mark.parametrize(
    "value", [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), _Point(), np.float32(0.5), b"x", {1}], ids=repr
)
@pytest.mark.parametrize("engine", ["ujson", "orjson", "stdlib"])
def test_fast_json_asks_nobody(answering, renderer, value, engine):
    """fast_json has no adapters: what its engine can't write is a clear 500."""
    answer = answering({"x": value}, renderer, {"c2c.json.engine": engine}, _adapters).get("/value", status=500)
    assert answer.json["message"] == (
        f"The answer can't be written as JSON: $.x is a {type(value).__name__}, "
        'and fast_json takes no adapters: renderer="json" does'
    )


def test_decimals_of_ujson_are_numbers(answering):
    """Decimals are written as numbers by ujson."""
    assert answering([Decimal("1.5")], "fast_json").get("/value").json == [1.5]


@pytest.mark.parametrize("renderer", ["fast_json", "cornice_fast_json"])
@pytest.mark.parametrize(
    ("engine", "status", "small"), [(None, 200, "1e-7"), ("orjson", 500, "1e-7"), ("stdlib", 500, "1e-7")]
)
def test_the_engine_is_chosen(answering, renderer, engine, status, small, monkeypatch):
    """Engines are known by what they do: ujson (default) writes decimals; small numbers look the same from all."""
    if engine:
        monkeypatch.setenv("C2C_JSON_ENGINE", engine)
    answering([Decimal("1.5")], renderer).get("/value", status=status)
    assert answering(1e-07, renderer).get("/value").text == small


def _cycle():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize("renderer", _RENDERERS)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([float("nan")], "$[0] is nan, a number that JSON does not have"),
        ({"a": None, "b": float("inf")}, "$.b is inf"),
        (_cycle(), "$[0] contains itself"),
    ],
    ids=["nan", "infinity", "cycle"],
)
def test_what_json_does_not_have_is_a_clear_500(answering, records, renderer, value, reason, monkeypatch):
    """Cycles, and NaN and infinity where they are refused, are a 500 that says where, with one record."""
    monkeypatch.setenv("C2C_JSON_NAN", "error")
    answer = answering(value, renderer).get("/value", status=500)
    assert reason in answer.json["message"]
    assert reason in records.only().message


@pytest.mark.parametrize("engine", ["ujson", "orjson", "stdlib"])
def test_nan_is_null_or_what_ujson_makes_of_it(answering, engine):
    """By default NaN is null in json, as in JavaScript, and in fast_json but by ujson, whose error names json."""
    settings = {"c2c.json.engine": engine, "c2c.json.pretty_print": "no"}
    value = {"a": [float("nan"), float("-inf"), None, 1.5]}
    for renderer in ("json", "cornice_json"):
        assert answering(value, renderer, settings).get("/value").text == '{"a":[null,null,null,1.5]}'
    fast = answering(value, "fast_json", settings).get("/value", status=500 if engine == "ujson" else 200)
    assert (
        fast.json["message"].endswith('renderer="json" writes null') if engine == "ujson" else fast.json["a"][3] == 1.5
    )


@pytest.mark.parametrize("renderer", _RENDERERS)
def test_the_length_is_that_of_the_bytes(answering, renderer):
    """The bytes of the engine are the body, with their length and the same type whatever wrote them."""
    answer = answering({"a": "straße", "b": "\ud800"}, renderer, {"c2c.json.pretty_print": "no"}).get("/value")
    assert answer.body == '{"a":"straße","b":"\\ud800"}'.encode()
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("renderer", ["cornice_json", "cornice_fast_json"])
def test_cornices_renderers_negotiate(answering, renderer):
    """The forms for cornice answer application/json or text/plain, as asked, and nothing for a 204."""
    app = answering({"a": 1}, renderer)
    assert app.get("/value", headers={"Accept": "text/plain"}).content_type == "text/plain"
    assert app.get("/value", headers={"Accept": "application/json"}).content_type == "application/json"
    assert app.get("/value", headers={"Accept": "image/png"}).content_type == "application/json"


def test_cornices_renderer_writes_bytes_as_text(answering):
    """cornice_json has cornice's adapter for bytes."""
    assert answering([b"text"], "cornice_json").get("/value").json == ["text"]


def test_a_content_type_of_the_view_is_kept(make_app):
    """A view that says what its JSON is, GeoJSON say, is believed."""

    def view(request):
        request.response.content_type = "application/geo+json"
        return {}

    def configure(config):
        config.add_route("value", "/value")
        config.add_view(view, route_name="value", renderer="json")

    assert make_app(configure).get("/value").content_type == "application/geo+json"


def test_render_gives_text(make_app):
    """pyramid.renderers.render works with them and gives text, as Pyramid's own do."""
    request = DummyRequest()
    request.registry = make_app().app.registry
    for renderer in _RENDERERS[:2]:
        assert render(renderer, {"é": 1}, request=request) == '{\n  "é": 1\n}'


def test_two_adapters_for_one_type_are_a_conflict():
    """Two parts of an application that write a type differently stop the start-up."""
    config = Configurator()
    config.include("c2c_rest")
    config.add_json_adapter(Decimal, str)
    config.add_json_adapter(Decimal, float)
    with pytest.raises(ConfigurationConflictError):
        config.commit()


def test_an_application_may_replace_a_renderer(answering):
    """Renderers that the application adds win."""
    configure = lambda config: config.add_renderer("json", "pyramid.renderers.string_renderer_factory")  # noqa: E731 # as short as can be
    assert answering({"a": 1}, "json", (), configure).get("/value").text == "{'a': 1}"


def test_an_unknown_engine_stops_the_start_up():
    """An engine that is none is an error naming the setting."""
    config = Configurator(settings={"c2c.json.engine": "yaml"})
    with pytest.raises(ConfigurationError, match=r"c2c\.json\.engine"):
        config.include("c2c_rest")


_WITHOUT_ORJSON = """
import sys
sys.modules["orjson"] = None
from pyramid.config import Configurator
from pyramid.renderers import render
from c2c_broadcast import ConfigurationError
config = Configurator()
config.include("c2c_rest")
config.commit()
config.begin()
print(render("json", {"a": 1e-7, "b": 2 ** 64}).split())
try:
    Configurator(settings={"c2c.json.engine": "orjson"}).include("c2c_rest")
except ConfigurationError as error:
    print(error)
"""


def test_without_orjson():
    """Without orjson json is written by the standard library; asking for it says what to install."""
    command = [sys.executable, "-W", "ignore", "-c", _WITHOUT_ORJSON]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == str(["{", '"a":', "1e-07,", '"b":', "18446744073709551616", "}"])
    assert "pip install 'c2c-rest[orjson]'" in lines[1]


_ENUMERATION = """
import sys
from pyramid.config import Configurator
from pyramid.renderers import render
import enum, types
config = Configurator()
config.include("c2c_rest")
config.commit()
config.begin()
class Plain(enum.Enum):
    RED = 1
print(render("json", [Plain.RED]).split())
class Speaking(enum.IntFlag):
    RED = 1
class Telling(enum.Enum):
    RED = 1
    def __json__(self, request):
        return {"label": self.name}
sys.modules["imported_since"] = types.ModuleType("imported_since")
print(render("json", [Plain.RED, Telling.RED]).split())
"""


def test_an_enumeration_with_json():
    """An enumeration that says how it is written is asked, although orjson would not; also one that comes later."""
    command = [sys.executable, "-W", "ignore", "-c", _ENUMERATION]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == str(["[", "1", "]"])
    assert lines[1] == str(["[", "1,", "{", '"label":', '"RED"', "}", "]"])
