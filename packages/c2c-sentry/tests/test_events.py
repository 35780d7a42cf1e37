"""What is reported of a request: one event an exception, with its request's id, without secrets."""

import json
import logging

import pytest
import sentry_sdk
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest, HTTPNotFound
from pyramid.request import Request
from pyramid.response import Response
from webtest import TestApp

from c2c_sentry import filter_wsgi_app, init
from c2c_sentry._events import _REPORTED, first_report
from c2c_testing.utils import retry_timeout

CANARY = "s3cr3t-canary"


def fails(request):
    """Raise."""
    raise ValueError("no such thing")


def test_an_exception_that_nobody_handles(make_app, sent):
    """It is reported once and goes on to the server."""
    with pytest.raises(ValueError, match="no such thing"):
        make_app(fails).get("/view")
    event = sent.one()
    assert event["exception"]["values"][-1]["type"] == "ValueError"
    assert event["transaction"] == "view"


@pytest.mark.parametrize(
    ("status", "level"),
    [
        (500, logging.ERROR),
        (503, logging.ERROR),
        (500, logging.WARNING),
        (503, logging.WARNING),
        (400, logging.WARNING),
        (400, logging.DEBUG),
    ],
)
def test_one_event_whatever_the_status_it_became(make_app, sent, json_errors, status, level):
    """The JSON error view logs and handles it: still one."""
    app = make_app(fails, json_errors(status, level))
    app.get("/view", status=status)
    assert sent.one()["exception"]["values"][-1]["value"] == "no such thing"
    app.get("/view", status=status)
    assert len(sent.events()) == 2


def test_one_event_through_all_layers(make_app, sent, json_errors):
    """Logged by the view, logged by the error view, seen by Pyramid, and raised through the WSGI filter."""

    def view(request):
        try:
            fails(request)
        except ValueError:
            logging.getLogger("app").exception("first")
            raise

    app = make_app(view)
    filtered = TestApp(filter_wsgi_app(app.app))
    with pytest.raises(ValueError, match="no such thing"):
        filtered.get("/view")
    assert sent.one()["logger"] == "app"


def test_two_exceptions_are_two_events(make_app, sent):
    """What another exception caused is another exception."""

    def view(request):
        try:
            fails(request)
        except ValueError as error:
            logging.getLogger("app").exception("first")
            raise KeyError("second") from error

    with pytest.raises(KeyError):
        make_app(view).get("/view")
    assert len(sent.events()) == 2


@pytest.mark.parametrize("kind", [HTTPNotFound, HTTPBadRequest])
@pytest.mark.parametrize("raised", [True, False])
def test_answers_are_no_errors(make_app, sent, kind, raised):
    """``HTTPNotFound``, raised or returned, is an answer."""

    def view(request):
        if raised:
            raise kind
        return kind()

    make_app(view).get("/view", status=kind.code)
    assert sent.events() == []


def test_log_records_are_events_from_a_level_on(make_app, sent):
    """ERROR by default; below, records are the trail that an event brings along."""

    def view(request):
        logging.getLogger("app").warning("on the way")
        logging.getLogger("app").error("failed %s", "here", extra={"answer": 42})
        return {}

    logging.getLogger("app").setLevel(logging.INFO)
    make_app(view).get("/view")
    event = sent.one()
    assert event["logentry"]["message"] == "failed %s"
    assert event["extra"]["answer"] == 42
    assert any(crumb["message"] == "on the way" for crumb in event["breadcrumbs"]["values"])


def test_the_request_id_is_a_tag(make_app, sent):
    """c2c-logging's attribute, where it is; else the header, cleaned."""
    with pytest.raises(ValueError, match="no such thing"):
        make_app(fails).get("/view", headers={"X-Request-ID": "42 is the answer"})
    assert sent.one()["tags"]["request_id"] == "42 is the answer"


def test_the_request_id_of_c2c_logging(make_app, sent):
    """The attribute wins over the header."""

    def configure(config):
        config.add_request_method(lambda request: "from the attribute", "c2c_request_id", reify=True)

    with pytest.raises(ValueError, match="no such thing"):
        make_app(fails, configure).get("/view", headers={"X-Request-ID": "header"})
    assert sent.one()["tags"]["request_id"] == "from the attribute"


def test_an_id_that_raises_does_not_lose_the_report(make_app, sent):
    """The report goes without."""

    def broken(request):
        raise RuntimeError

    def configure(config):
        config.add_request_method(broken, "c2c_request_id", property=True)

    with pytest.raises(ValueError, match="no such thing"):
        make_app(fails, configure).get("/view")
    assert "request_id" not in sent.one().get("tags", {})


def places(value, path=""):
    """Return where in data the canary is."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, f"{path}[{number}]")
    elif CANARY in str(value):
        yield f"{path}: {value}"


def test_no_secret_leaves(make_app, sent):
    """Not by message, URL, header, form, local variable, extra, tag or breadcrumb; not the settings' own either."""

    def view(request):
        password = CANARY  # noqa: F841 # Sentry looks at local variables
        details = {"token": CANARY, "url": f"redis://:{CANARY}@h"}  # noqa: F841 # as above
        logging.getLogger("app").warning("password=%s", CANARY)
        logging.getLogger("app").error("db postgresql://u:%s@h/d", CANARY, extra={"api_key": CANARY})
        raise ValueError(f"secret={CANARY} and the-operators-own-word")

    app = make_app(view, **{"c2c.secret": "the-operators-own-word"})
    with pytest.raises(ValueError, match="secret"):
        app.post(
            f"/view?secret={CANARY}",
            {"secret": CANARY, "visible": "yes"},
            headers={"X-API-Key": CANARY, "Authorization": f"Bearer {CANARY}"},
        )
    assert len(sent.events()) == 2
    everything = [item.payload for envelope in sent.sink.envelopes for item in envelope.items]
    assert list(places(everything)) == [], "a secret leaves"
    assert "the-operators-own-word" not in json.dumps(everything, default=str)


def test_an_attempt_that_is_retried_is_no_error(make_app, sent):
    """With pyramid_retry, what the last attempt raises is reported, and nothing of one that succeeds in the end."""
    from pyramid_retry import RetryableException

    attempts = []

    def view(request):
        attempts.append(1)
        if request.params.get("always") or len(attempts) < 3:
            raise RetryableException("again")
        return {"attempts": len(attempts)}

    app = make_app(view, lambda config: config.include("pyramid_retry"), **{"retry.attempts": "3"})
    assert app.get("/view").json == {"attempts": 3}
    assert sent.events() == []
    with pytest.raises(RetryableException):
        app.get("/view?always=1")
    assert len(sent.events()) == 1


def test_an_error_in_the_error_view(make_app, sent):
    """Both exceptions are reported, each once."""

    def configure(config):
        def broken(error, request):
            raise LookupError("in the error view")

        config.add_exception_view(broken, ValueError)

    with pytest.raises(LookupError):
        make_app(fails, configure).get("/view")
    types = {event["exception"]["values"][-1]["type"] for event in sent.events()}
    assert "LookupError" in types
    assert len(sent.events()) <= 2


CLOSED = RuntimeError("the pool is closed")
"""A constant of the application, of a class that takes no weak reference."""


class PoolError(Exception):
    """One that takes them."""


CLOSED_TOO = PoolError("the other pool is closed")


@pytest.mark.parametrize("error", [CLOSED, CLOSED_TOO])
def test_an_object_raised_in_many_requests(make_app, sent, json_errors, error):
    """Each request that raises a constant is an event, once, though it is logged too; no mark is left on it."""

    def view(request):
        if "other" in request.GET:
            raise ValueError("other")
        raise error

    app = make_app(view, json_errors(500, logging.ERROR))
    before = dict(vars(error))
    for query in ("", "?other=1", "", "", "?other=1"):
        app.get(f"/view{query}", status=500)
    texts = [event["exception"]["values"][-1]["value"] for event in sent.events()]
    assert sorted(texts) == sorted([str(error)] * 3 + ["other"] * 2)
    assert vars(error) == before


def test_an_object_raised_through_the_filter(sent):
    """A WSGI application without Pyramid: each request that raises a constant is an event."""

    def app(environ, start_response):
        raise CLOSED

    wrapped = filter_wsgi_app(app, {"c2c.sentry.url": sent.sink.dsn})
    for _ in range(3):
        with pytest.raises(RuntimeError, match="the pool is closed"):
            TestApp(wrapped).get("/")
    assert len(sent.events()) == 3


def test_reports_of_a_request_that_raises_much(make_app, sent):
    """What is remembered of a request is bounded."""

    def view(request):
        for number in range(100):
            first_report(ValueError(number))
        return {"kept": len(_REPORTED.get())}

    assert make_app(view).get("/view").json["kept"] <= 21


def test_without_a_dsn_there_is_nothing(make_app, sent):
    """No tween, no client, the same application."""
    app = make_app(lambda request: {"fine": True}, **{"c2c.sentry.url": ""})
    assert app.get("/view").json == {"fine": True}
    assert filter_wsgi_app(app.app) is app.app
    assert sent.sink.envelopes == []


def test_outside_of_pyramid(make_app, sent):
    """The filter reports what any WSGI application raises."""
    make_app(fails)

    def application(environ, start_response):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Request.blank("/").get_response(filter_wsgi_app(application))
    assert sent.one()["exception"]["values"][-1]["type"] == "ZeroDivisionError"


def test_the_request_id_outside_of_pyramid(make_app, sent):
    """The header that the client sent, cleaned."""
    make_app(fails)

    def application(environ, start_response):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Request.blank("/", headers={"X-Request-ID": "42 is\tthe answer"}).get_response(filter_wsgi_app(application))
    assert sent.one()["tags"]["request_id"] == "42 isthe answer"


def test_the_filter_takes_settings(sent):
    """As the filters of the other packages: those that are given, those of the application, of the one made last."""

    def application(environ, start_response):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Request.blank("/").get_response(filter_wsgi_app(application, {"c2c.sentry.url": sent.sink.dsn}))
    assert sent.one()["exception"]["values"][-1]["type"] == "ZeroDivisionError"


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_filter_finds_the_settings_of_the_application(sent, wrapped):
    """Also where another filter is between: one that does not include the package is reported by the filter alone."""
    config = Configurator(settings={"c2c.sentry.url": sent.sink.dsn})
    config.add_route("view", "/view")
    config.add_view(fails, route_name="view")
    made = config.make_wsgi_app()
    app = filter_wsgi_app(made.__call__ if wrapped else made)
    with pytest.raises(ValueError, match="no such thing"):
        Request.blank("/view").get_response(app)
    assert sent.one()["exception"]["values"][-1]["value"] == "no such thing"


def test_no_secret_leaves_with_spans_logs_and_metrics(sent, monkeypatch):
    """What the SDK sends beside events is masked too."""
    for name, value in {"TRACES_SAMPLE_RATE": "1", "TRACE_LIFECYCLE": "stream", "ENABLE_LOGS": "true"}.items():
        monkeypatch.setenv(f"SENTRY_CLIENT_{name}", value)
    init({"c2c.sentry.url": sent.sink.dsn, "c2c.secret": CANARY})
    with sentry_sdk.traces.start_span(name=f"GET /?secret={CANARY}", attributes={"url": f"redis://:{CANARY}@h"}):
        logging.getLogger("app").warning("the secret is %s", CANARY)
        sentry_sdk.metrics.count("calls", 1, attributes={"token": CANARY, "what": CANARY})

    def items():
        sentry_sdk.flush(timeout=30)  # which does not wait for what another of the SDK's threads has in its hands
        found = [item for envelope in sent.sink.envelopes for item in envelope.items]
        return found if {item.type for item in found} >= {"span", "log", "trace_metric"} else None

    assert list(places([item.payload for item in retry_timeout(items, 60)])) == []


def test_the_answer_passes_through_the_filter(make_app):
    """Status, headers and body are the application's."""
    make_app(fails)
    answer = Request.blank("/").get_response(filter_wsgi_app(Response("hello", headers={"X-A": "b"})))
    assert (answer.text, answer.headers["X-A"]) == ("hello", "b")
