"""The Sentry server."""

import gzip
import math

import pytest
import requests
import sentry_sdk

from c2c_testing.sinks._http import parse


@pytest.fixture
def client(sentry_sink):
    """Give an SDK client that reports to the sink."""
    client = sentry_sdk.Client(dsn=sentry_sink.dsn, default_integrations=False, shutdown_timeout=0)
    yield client
    client.close(timeout=0.5)


def test_receives_events_of_the_sdk(sentry_sink, client):
    """What the SDK sends is read; the DSN is all that it needs."""
    client.capture_event({"message": "héllo", "level": "error"})
    client.capture_event({"message": "again", "level": "error"})
    client.flush(timeout=30)
    first, second = sentry_sink.wait_events(2)
    assert (first["message"], second["message"]) == ("héllo", "again")
    assert sentry_sink.envelopes[0].headers["event_id"] == first["event_id"]
    assert sentry_sink.events == [first, second]
    sentry_sink.clear()
    assert sentry_sink.events == []


def test_limits_the_rate(sentry_sink, client):
    """On a 429 the SDK keeps quiet, as with the real one."""
    sentry_sink.answer(status=429, headers={"Retry-After": "60"}, times=1)
    for message in ("first", "second"):
        client.capture_event({"message": message})
        client.flush(timeout=30)
    assert [event["message"] for event in sentry_sink.events] == ["first"]


def test_is_slow_and_down(sentry_sink, client):
    """The service under test must not notice either."""
    sentry_sink.answer(delay=math.inf)
    client.capture_event({"message": "hangs"})
    sentry_sink.wait_events()
    with sentry_sink.down():
        client.capture_event({"message": "lost"})
        client.flush(timeout=1)
    assert [event["message"] for event in sentry_sink.events] == ["hangs"]


def test_reads_envelopes():
    """With and without lengths, with line feeds in a payload, attachments as bytes, types it does not know."""
    body = (
        b'{"event_id": "1"}\n'
        b'{"type": "event", "length": 12}\n{"a":\n "b"}\n\n'
        b'{"type": "attachment", "length": 3}\n\x00\n\xff\n'
        b'{"type": "session"}\n{"sid": 1}\n'
        b'{"type": "event", "length": 2}\n{}'
    )
    body = body.replace(b'"length": 12}\n{"a":\n "b"}\n\n', b'"length": 11}\n{"a":\n "b"}\n')
    items = parse(body).items
    assert [(item.type, item.payload) for item in items] == [
        ("event", {"a": "b"}),
        ("attachment", b"\x00\n\xff"),
        ("session", {"sid": 1}),
        ("event", {}),
    ]


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/api/1/store/", {}, b"{}", 404),
        ("/api/1/envelope/", {"X-Sentry-Auth": "Sentry sentry_key=wrong"}, b"{}\n", 403),
        ("/api/1/envelope/", {"Content-Encoding": "br"}, b"{}\n", 400),
        ("/api/1/envelope/", {"Content-Encoding": "gzip"}, b"{}\n", 400),
        ("/api/1/envelope/", {}, b"nonsense", 400),
        ("/api/1/envelope/", {}, b'{}\n{"type": "event", "length": 99}\n{}', 400),
        ("/api/1/envelope/", {}, b'{}\n{"length": 2}\n{}', 400),
    ],
)
def test_refuses_what_is_not_an_envelope(sentry_sink, path, headers, body, status):
    """Wrong place, key, encoding or shape: an error status, and an entry in ``errors``."""
    good = {"X-Sentry-Auth": f"Sentry sentry_key={sentry_sink.dsn[7:39]}, sentry_version=7"}
    response = requests.post(sentry_sink.url + path, data=body, headers={**good, **headers}, timeout=30)
    assert response.status_code == status
    assert len(sentry_sink.errors) == 1
    assert sentry_sink.envelopes == []
    sentry_sink.clear()


def test_reads_compressed_envelopes(sentry_sink):
    """As the SDK sends them."""
    headers = {"X-Sentry-Auth": f"Sentry sentry_key={sentry_sink.dsn[7:39]}", "Content-Encoding": "gzip"}
    body = gzip.compress(b'{}\n{"type": "event"}\n{"message": "x"}')
    assert requests.post(f"{sentry_sink.url}/api/1/envelope/", data=body, headers=headers, timeout=30).ok
    assert sentry_sink.wait_events() == [{"message": "x"}]
