"""What ``requests`` sends: the id, the trace, a time-out; and the patch itself."""

import functools
import logging
import math
import re
import subprocess
import sys
import textwrap

import pytest
import requests

from c2c_logging import instrument_requests, uninstrument_requests
from c2c_logging._outgoing import WARNED

IDS = {"X-Request-ID": "42 is the answer"}
ORIGINAL = requests.Session.send


@pytest.fixture(autouse=True)
def unpatched():
    """Each test begins and ends without the patch."""
    uninstrument_requests()
    WARNED.clear()
    yield
    uninstrument_requests()
    assert requests.Session.send is ORIGINAL


@pytest.fixture
def call(make_app, http_sink):
    """A function that lets a view send a request and returns what the sink received."""

    def make(headers=None, settings=None, request_headers=IDS, **options):
        def view(request):
            requests.get(http_sink.url + "/x", headers=headers, **{"timeout": 30, **options})
            return {}

        make_app(view, **(settings or {})).get("/hello/you", headers=request_headers)
        return http_sink.requests[-1].headers

    return make


def test_the_id_goes_on(call):
    """The called service sees the id of the request that is being handled, in W3C's words too."""
    headers = call()
    assert headers["x-request-id"] == "42 is the answer"
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", headers["traceparent"])


def test_a_trace_goes_on(call):
    """The trace that came in goes out: same trace, same sampling, a new span."""
    headers = call(
        request_headers={
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        }
    )
    assert re.fullmatch(
        r"00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)[0-9a-f]{16}-01", headers["traceparent"]
    )
    assert headers["x-request-id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_headers_that_are_there_stay(call):
    """What the caller says wins, in whatever case."""
    headers = call(headers={"x-request-id": "mine", "TraceParent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"})
    assert headers["x-request-id"] == "mine"
    assert headers["traceparent"].startswith("00-1111")


def test_the_configured_header_is_sent(call):
    """The id goes on under the name that it came with."""
    headers = call(settings={"c2c.request_id_header": "X-Mine"}, request_headers={"X-Mine": "mine"})
    assert headers["x-mine"] == "mine"


def test_outside_of_a_request_nothing_is_added(http_sink):
    """A script's calls are as they were."""
    instrument_requests()
    requests.get(http_sink.url, timeout=30)
    assert not {"x-request-id", "traceparent"} & set(http_sink.requests[-1].headers)


def test_prepared_requests_and_redirects(make_app, http_sink):
    """Whatever way a request is sent."""
    http_sink.answer(path="/first", status=302, headers={"Location": "/second"})

    def view(request):
        session = requests.Session()
        session.send(requests.Request("POST", http_sink.url + "/first").prepare(), timeout=30)
        return {}

    make_app(view).get("/hello/you", headers=IDS)
    assert [one.path for one in http_sink.requests] == ["/first", "/second"]
    assert {one.headers["x-request-id"] for one in http_sink.requests} == {"42 is the answer"}


def test_a_prepared_request_that_is_sent_again(make_app, http_sink):
    """It is the caller's, and left as it was: sent in another request, it has that one's id and trace."""
    prepared = requests.Request("GET", http_sink.url + "/x").prepare()

    def view(request):
        requests.Session().send(prepared, timeout=30)
        return {}

    app = make_app(view)
    for number in ("first", "second"):
        app.get("/hello/you", headers={"X-Request-ID": number})
    assert [one.headers["x-request-id"] for one in http_sink.requests] == ["first", "second"]
    assert len({one.headers["traceparent"] for one in http_sink.requests}) == 2


def test_the_default_timeout_holds(http_sink):
    """A call that was given none ends after it; one that was given its own keeps that."""
    http_sink.answer(path="/slow", delay=math.inf)
    instrument_requests(default_timeout=0.3)
    with pytest.raises(requests.Timeout):
        requests.get(http_sink.url + "/slow")  # that is the point
    assert requests.get(http_sink.url, timeout=30).status_code == 200


def test_the_variable_of_the_default_timeout(http_sink, monkeypatch):
    """A script, which includes nothing, has it from the environment."""
    http_sink.answer(path="/slow", delay=math.inf)
    monkeypatch.setenv("C2C_REQUESTS_DEFAULT_TIMEOUT", "0.3")
    instrument_requests()
    with pytest.raises(requests.Timeout):
        requests.get(http_sink.url + "/slow")  # that is the point


def test_the_setting_of_the_default_timeout(make_app, http_sink):
    """It comes from the application's settings."""
    http_sink.answer(path="/slow", delay=math.inf)

    def view(request):
        try:
            requests.get(http_sink.url + "/slow")  # that is the point
        except requests.Timeout:
            return "timed out"

    app = make_app(view, **{"c2c.requests_default_timeout": "0.3"})
    assert app.get("/hello/you").json == "timed out"


def test_without_a_timeout_it_warns_once_a_place(http_sink, caplog):
    """Method, host, and the line that calls; the same line is silent afterwards, another is not."""
    instrument_requests()
    with caplog.at_level(logging.WARNING, "c2c_logging.requests"):
        for _ in range(3):
            requests.put(http_sink.url + "/path?secret=canary")  # that is the point
        requests.get(http_sink.url, timeout=30)
        requests.Session().get(http_sink.url)
    first, second = (record.getMessage() for record in caplog.records)
    assert re.match(rf"PUT 127\.0\.0\.1 without a time-out, called from {re.escape(__file__)}:\d+:", first)
    assert second.startswith("GET 127.0.0.1")
    assert "canary" not in first


def test_places_are_bounded(http_sink, caplog):
    """Code that is made anew for each call warns a thousand times, and takes no more memory then."""
    instrument_requests()
    WARNED.update(("made.py", number) for number in range(1_000))
    with caplog.at_level(logging.WARNING, "c2c_logging.requests"):
        requests.get(http_sink.url)  # that is the point
    assert not caplog.records
    assert len(WARNED) == 1_000


def test_twice_is_once_and_back(http_sink):
    """Patching again does not patch the patch; taking it back gives the original."""
    instrument_requests()
    patched = requests.Session.send
    instrument_requests()
    assert requests.Session.send is patched
    assert patched.__wrapped__ is ORIGINAL
    uninstrument_requests()
    uninstrument_requests()
    assert requests.Session.send is ORIGINAL
    instrument_requests()
    assert requests.get(http_sink.url, timeout=30).status_code == 200


def test_below_the_patch_of_another(make_app, http_sink):
    """Another tool's patch over ours stays, whatever the order of taking back; ours is silent then."""
    instrument_requests()
    ours = requests.Session.send

    @functools.wraps(ours)
    def theirs(*args, **kwargs):
        return ours(*args, **kwargs)

    requests.Session.send = theirs
    instrument_requests()
    assert requests.Session.send is theirs
    uninstrument_requests()
    assert requests.Session.send is theirs
    requests.get(http_sink.url)  # no warning: it is off
    requests.Session.send = ours
    uninstrument_requests()
    assert requests.Session.send is ORIGINAL


def test_a_service_that_is_away_raises_what_it_raised(http_sink):
    """The patch hides nothing."""
    instrument_requests(default_timeout=30)
    with http_sink.down(), pytest.raises(requests.ConnectionError):
        requests.get(http_sink.url)  # the default holds


def test_requests_is_patched_when_it_is_imported_and_not_imported_for_it(http_sink):
    """A service that does not use it does not pay for it; one that does has its id sent, whenever it imports it."""
    program = textwrap.dedent(
        """
        import sys
        from c2c_logging import instrument_requests, run_in_context
        from c2c_logging._request_ids import CURRENT, RequestContext
        from c2c_logging import LoggingSettings
        from pyramid.request import Request

        instrument_requests(default_timeout=30)
        assert "requests" not in sys.modules
        CURRENT.set(RequestContext(Request.blank("/"), "42 is the answer", LoggingSettings()))
        import requests

        requests.get(sys.argv[1])
        """
    )
    subprocess.run([sys.executable, "-c", program, http_sink.url], check=True, timeout=120)
    (request,) = http_sink.requests
    assert request.headers["x-request-id"] == "42 is the answer"
