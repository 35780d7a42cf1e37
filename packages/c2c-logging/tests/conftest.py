"""What several tests share: a strict parser of lines, a logger with a JSON handler, a small application."""

import io
import json
import logging
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from pyramid.config import Configurator
from webtest import TestApp

from c2c_logging import JsonLogHandler, uninstrument_requests

# No test asserts a duration, Hypothesis's neither: a busy machine takes its time.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def parse_strictly(line):
    """Parse one object of JSON and take nothing that RFC 8259 has not: NaN, a name twice, a lone surrogate."""

    def unique(pairs):
        assert len({name for name, _ in pairs}) == len(pairs), f"a name twice in {line}"
        return dict(pairs)

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    assert len(line.splitlines()) == 1
    assert len(line.encode()) < 32 * 1000
    found = json.loads(line, object_pairs_hook=unique, parse_constant=refuse)
    assert isinstance(found, dict)
    json.dumps(found, ensure_ascii=False).encode()
    assert not [name for name in found if name.startswith("_")]
    return found


@pytest.fixture(scope="session")
def strict():
    """The strict parser."""
    return parse_strictly


@pytest.fixture
def log():
    """A logger of one test, with a JSON handler; ``log.lines()`` gives what it wrote, parsed."""
    stream = io.StringIO()
    logger = logging.Logger("app.views")  # noqa: LOG001 # of this test alone
    logger.addHandler(JsonLogHandler(stream))
    logger.text = stream.getvalue
    logger.lines = lambda: [parse_strictly(line) for line in stream.getvalue().split("\n")[:-1]]
    return logger


@pytest.fixture
def make_app():
    """A function that makes a WebTest application of one view (at /hello/{name} and /) with the package included."""

    def make(view=None, includes=("c2c_logging",), **settings):
        config = Configurator(settings={"c2c.secret": "0123456789abcdef-test", **settings})
        for include in includes:
            config.include(include)
        config.add_route("hello", "/hello/{name}")
        config.add_view(view or (lambda request: {"id": request.c2c_request_id}), route_name="hello", renderer="json")
        return TestApp(config.make_wsgi_app())

    yield make
    uninstrument_requests()


@pytest.fixture
def root_logging():
    """Give logging back as it was after a test that configures it."""
    root = logging.getLogger()
    before = SimpleNamespace(handlers=root.handlers[:], level=root.level)
    yield
    logging.captureWarnings(capture=False)
    for handler in root.handlers:
        if handler not in before.handlers:
            handler.close()
    root.handlers[:] = before.handlers
    root.setLevel(before.level)
