"""Request ids: where they come from, and what is kept of what clients send."""

import os
import random
import re
import string
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c_broadcast import ConfigurationError, load
from c2c_logging import LoggingSettings
from c2c_logging._request_ids import Trace, clean, find_id, new_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("X-Request-ID", "42 is the answer", "42 is the answer"),
        ("X-Correlation-ID", "corr-1", "corr-1"),
        ("Request-ID", "req-1", "req-1"),
        ("X-Varnish", "32770 32769", "32770 32769"),
        (
            "X-Amzn-Trace-Id",
            "Self=1-6-7;Root=1-67891233-abcdef012345678912345678;Sampled=1",
            "1-67891233-abcdef012345678912345678",
        ),
        ("X-Amzn-Trace-Id", "Root=1-67891233-abcdef012345678912345678", "1-67891233-abcdef012345678912345678"),
        ("traceparent", TRACEPARENT, TRACE),
    ],
)
def test_each_header_brings_an_id(make_app, header, value, expected):
    """Each documented header is read, and the id comes back in the answer and its header."""
    answer = make_app().get("/hello/you", headers={header: value})
    assert answer.json == {"id": expected}
    assert answer.headers["X-Request-ID"] == expected


def test_the_order_of_the_headers():
    """The first header that has something decides; the configured one comes before all."""
    environ = {
        "HTTP_TRACEPARENT": TRACEPARENT,
        "HTTP_X_AMZN_TRACE_ID": "amazon",
        "HTTP_X_VARNISH": "varnish",
        "HTTP_REQUEST_ID": "request",
        "HTTP_X_CORRELATION_ID": "correlation",
        "HTTP_X_REQUEST_ID": "x-request",
        "HTTP_X_MINE": "mine",
    }
    for name, expected in reversed(environ.items()):
        assert find_id(environ, "X-Mine") == (TRACE if name == "HTTP_TRACEPARENT" else expected)
        environ[name] = ";;"
    assert find_id(environ, "X-Mine") is None


def test_the_configured_header(make_app):
    """It is read first and is the one of the answer."""
    app = make_app(**{"c2c.request_id_header": "X-Mine"})
    answer = app.get("/hello/you", headers={"X-Mine": "mine", "X-Request-ID": "other"})
    assert answer.json == {"id": "mine"}
    assert answer.headers["X-Mine"] == "mine"


def test_without_a_header_it_is_a_uuid(make_app):
    """Each request has one of its own."""
    app = make_app()
    first, second = app.get("/hello/a"), app.get("/hello/a")
    assert UUID(first.json["id"]).version == 4
    assert first.json["id"] == first.headers["X-Request-ID"] != second.json["id"]


def test_forked_processes_make_different_ids():
    """Each begins with its parent's random numbers, and no two of their ids begin alike; the application's stay."""
    state = random.getstate()
    found = []
    for _ in range(4):
        reader, writer = os.pipe()
        if not os.fork():
            os.write(writer, "".join(new_id()[:13] for _ in range(1000)).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        os.wait()
        found += [text[at : at + 13] for at in range(0, len(text), 13)]
    assert len(set(found)) == len(found) == 4000
    assert random.getstate() == state


def test_a_view_that_sets_the_header_itself(make_app):
    """The answer has one, ours, however the view wrote its name; headers of the same length stay."""

    def view(request):
        request.response.headerlist += [("x-request-id", "other"), ("X-Sequence-I", "1")]
        return {}

    headers = make_app(view).get("/hello/you", headers={"X-Request-ID": "mine"}).headers
    assert headers.getall("X-Request-ID") == ["mine"]
    assert headers.getall("X-Sequence-I") == ["1"]


INJECTIONS = [
    "a\r\nSet-Cookie: x=1",
    "a\nb",
    "a\rb",
    "a\x00b",
    "a\x1b[31mb\x1b[0m",
    "a\x9bb",
    "a\u0085b",
    "\u202egnp.exe",
    "\u2028line",
    "x" * 5000,
    "x" * 5_000_000,
    "Zürich \N{GRINNING FACE}",
    "'; DROP TABLE users; --",
    '" OR ""="',
    "a */ DELETE /* b",
    "$$ $tag$",
    "`id` $(id) ${jndi:ldap://x}",
    "<script>alert(1)</script>",
    "%0d%0aSet-Cookie:x",
    "\\x0a\\",
    "\xff\xfe",
    "\ud800",
    "\t \t",
]


@pytest.mark.parametrize("value", INJECTIONS)
def test_an_injection_corpus(value):
    """Nothing is left that splits a header, a log line, a SQL string, a shell word or a page."""
    found = clean(value)
    assert len(found) <= 128
    assert found.isascii()
    assert found == found.strip()
    assert not set(found) & set("\r\n\t\0\"'\\`;*%$<>")
    assert found.isprintable()


@given(st.text(st.characters(), max_size=400))
def test_any_value_is_cleaned_once_and_for_all(value):
    """Cleaning what is clean changes nothing, and letters, digits and dashes stay."""
    found = clean(value)
    assert clean(found) == found
    assert len(found) <= 128
    assert set(found) <= set(string.ascii_letters + string.digits + " !#&()+,./:=?@[]^_{|}~-")


def test_latin1_bytes_through_the_server(make_app):
    """What WSGI hands over as latin-1 is cleaned, and the answer can be sent."""
    answer = make_app().get("/hello/you", headers={"X-Request-ID": "caf\xc3\xa9-1"})
    assert answer.headers["X-Request-ID"] == "caf-1"


def test_a_header_with_nothing_left_is_no_header(make_app):
    """An id of nothing but bad characters is replaced."""
    assert UUID(make_app().get("/hello/you", headers={"X-Request-ID": "';\\"}).json["id"])


@pytest.mark.parametrize("name", ["X Mine", "X-Mine:", "", "Ünder", "a\nb", "a'b"])
def test_a_bad_header_name_stops_the_start(name):
    """The error names variable and key."""
    if not name:
        assert load(LoggingSettings, {"c2c.request_id_header": name}, {}).request_id_header == "X-Request-ID"
        return
    with pytest.raises(ConfigurationError, match=r"c2c\.request_id_header.*C2C_REQUEST_ID_HEADER"):
        load(LoggingSettings, {"c2c.request_id_header": name}, {})


@pytest.mark.parametrize(
    "header",
    [
        TRACEPARENT,
        f"cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-will-bring",
        f"01-{TRACE}-00f067aa0ba902b7-00",
        f" {TRACEPARENT} ",
    ],
)
def test_traceparents_that_are_read(header):
    """Version 00, and what is known of later ones (W3C Trace Context, 4.3)."""
    trace = Trace.parse(header)
    assert trace is not None
    assert trace.trace_id == TRACE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01-more",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE[:-1]}-00f067aa0ba902b7-01",
        f"00_{TRACE}_00f067aa0ba902b7_01",
    ],
)
def test_traceparents_that_are_ignored(header):
    """What W3C Trace Context says must be ignored."""
    assert Trace.parse(header) is None


def test_a_child_is_a_traceparent_of_the_same_trace():
    """The trace and its sampling go on, with a span of its own."""
    trace = Trace.parse(TRACEPARENT)
    first, second = trace.child(), trace.child()
    assert first != second
    for child in (first, second):
        assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", child)
        assert Trace.parse(child) is not None


@given(st.text())
def test_any_id_gives_a_trace(request_id):
    """A request that came without a traceparent is in a trace too, the same for the same id."""
    trace = Trace.of_id(request_id)
    assert Trace.parse(trace.child()) is not None
    assert Trace.of_id(request_id) == trace


def test_a_uuid_is_its_own_trace():
    """One finds the trace by the id."""
    assert Trace.of_id("4bf92f35-77b3-4da6-a3ce-929d0e0e4736").trace_id == TRACE
