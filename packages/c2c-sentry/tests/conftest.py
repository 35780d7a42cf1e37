"""What the tests share: reporting that begins anew for each test, against a local Sentry."""

import logging
import os
from types import SimpleNamespace

import pytest
import sentry_sdk
from pyramid.config import Configurator
from pyramid.response import Response
from sentry_sdk.integrations import logging as sentry_logging
from webtest import TestApp

from c2c_sentry._events import Events
from c2c_sentry._reporting import REPORTING


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """Begin and end each test without a client, and without Sentry's variables."""
    for name in list(os.environ):
        if name.startswith("SENTRY_") or name == "GIT_HASH":
            monkeypatch.delenv(name)
    ignored = set(sentry_logging._IGNORED_LOGGERS)
    _reset()
    yield
    _reset()
    sentry_logging._IGNORED_LOGGERS.intersection_update(ignored)


def _reset():
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.init(dsn="", default_integrations=False, auto_enabling_integrations=False)
    sentry_sdk.get_global_scope().clear()
    sentry_sdk.get_isolation_scope().clear()
    REPORTING.__init__()
    REPORTING.events = Events()


@pytest.fixture
def sent(sentry_sink):
    """What was sent: ``sent.events()`` after flushing; ``sent.one()`` is the only event."""

    def events():
        sentry_sdk.flush(timeout=30)
        return sentry_sink.events

    def one():
        (event,) = events()
        return event

    return SimpleNamespace(events=events, one=one, sink=sentry_sink)


@pytest.fixture
def make_app(sentry_sink):
    """A function that makes a WebTest application whose view at ``/view`` is given; Sentry is the local sink."""

    def make(view, configure=None, **settings):
        config = Configurator(settings={"c2c.sentry.url": sentry_sink.dsn, **settings})
        config.include("c2c_sentry")
        if configure is not None:
            configure(config)
        config.add_route("view", "/view")
        config.add_view(view, route_name="view", renderer="json")
        return TestApp(config.make_wsgi_app())

    return make


@pytest.fixture
def json_errors():
    """What a JSON error view does: it logs the exception with its traceback at a level, and answers with a status."""

    def configure(status, level):
        def view(error, request):
            logging.getLogger("errors").log(level, "%s returned %s", request.path, status, exc_info=error)
            return Response(json_body={"status": status}, status=status)

        return lambda config: config.add_exception_view(view, Exception)

    return configure
