"""No secret shows: canaries in URLs, settings and exception texts are in no report, log line, event or name."""

import logging
import socket
import string

import pytest
from hypothesis import HealthCheck as Slow
from hypothesis import given, settings
from hypothesis import strategies as st
from pyramid.config import Configurator
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from webtest import TestApp

from c2c_health import Degraded, HealthCheck, HealthChecked, JsonCheckException

SECRET = "an-operators-secret-of-some-length"
# At least one digit, so that no word of a report is one by chance.
_CANARY = st.text(string.ascii_letters + string.digits, min_size=12, max_size=24).map(lambda text: f"c4n4ry{text}")


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):  # noqa: D102 # logging's
        self.lines.append(self.format(record))


@pytest.fixture
def lines():
    """Give what this package logs."""
    handler, logger = Lines(), logging.getLogger("c2c_health")
    logger.addHandler(handler)
    before, logger.level = logger.level, logging.DEBUG
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(before)


def _shapes(canary):
    """Return texts in which programs show secrets."""
    return [
        f"could not log in to postgresql://user:{canary}@db:5432/x",
        f"GET http://host/path?token={canary} failed",
        f"password={canary} is wrong",
        f"{{'api_key': '{canary}'}}",
        f"Authorization: Bearer {canary}",
        f"the setting is {canary}",  # known from the settings
    ]


@pytest.fixture
def dead():
    """Give a port on which nobody listens, and which nobody else can take."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


def _raising(error, *arguments):
    def run(request):
        raise error(*arguments)

    return run


def _service(canary, dead):
    config = Configurator(settings={"c2c.secret": SECRET, "my.password": canary})
    health = HealthCheck(config)
    for number, shape in enumerate(_shapes(canary)):
        health.add_custom_check(f"error{number}", _raising(ValueError, shape))
        health.add_custom_check(f"cause{number}", _raising(JsonCheckException, shape, {"text": shape, "l": [shape]}))
        health.add_custom_check(f"warning{number}", _raising(Degraded, shape))
        health.add_custom_check(f"result{number}", lambda request, shape=shape: {shape: [{shape: shape}]})
    url = f"http://{canary}:{canary}@127.0.0.1:{dead}/path?anything={canary}"
    health.add_url_check(url, params={"other": canary}, headers={"X-API-Key": canary})
    health.add_custom_check(f"named http://{canary}:{canary}@host", lambda request: None)
    health.add_url_check(lambda request: url, params=lambda request: {"other": canary}, name="function")
    health.add_redis_check(f"redis://{canary}:{canary}@127.0.0.1:{dead}/0?client_name={canary}")
    engine = create_engine(f"postgresql+psycopg2://user:{canary}@127.0.0.1:{dead}/x")
    health.add_db_session_check(sessionmaker(engine))
    return config


@settings(max_examples=6, deadline=None, suppress_health_check=[Slow.function_scoped_fixture])
@given(canary=_CANARY)
def test_no_canary_anywhere(lines, dead, canary):
    """For operators, who see stacks, neither; in no form of the report."""
    heard = []
    config = _service(canary, dead)
    config.add_subscriber(lambda event: heard.append(repr(event)), HealthChecked)
    app = TestApp(config.make_wsgi_app())
    try:
        for accept in ("application/json", "application/health+json", "text/plain", "text/html"):
            for headers in ({}, {"X-API-Key": SECRET}):
                answer = app.get("/c2c/health_check", headers={"Accept": accept, **headers}, status=500)
                assert canary not in answer.text
        report = app.get("/c2c/health_check", headers={"X-API-Key": SECRET}, status=500).json
        assert len(report["failures"]) == 16
        assert all(entry["stacktrace"] for entry in report["failures"].values())
        assert app.get("/c2c/health_check?checks=nope", status=400).text.count(canary) == 0
        everywhere = app.get("/c2c/health_check?scope=all", headers={"X-API-Key": SECRET}, status=500)
        assert canary not in everywhere.text
        checks = config.registry["health_check"]
        assert canary not in repr(checks.all)
    finally:
        config.registry["health_check"].runner.close()
    assert heard
    assert canary not in "".join(heard)
    assert lines
    assert canary not in "".join(lines)
    lines.clear()
