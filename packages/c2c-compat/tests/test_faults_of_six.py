"""What was wrong in c2cwsgiutils 6.1 and is not to be kept; what of it concerns the log-in is in test_login.py."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyramid.config import Configurator
from webtest import TestApp

import c2cwsgiutils.acceptance
import c2cwsgiutils.broadcast
import c2cwsgiutils.db
import c2cwsgiutils.health_check
import c2cwsgiutils.pyramid
from c2c_broadcast import load
from c2c_logging import LoggingSettings


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Configurator:
    """Give the configurator of a service of 6."""
    monkeypatch.setenv("C2C_COMPAT_ERA", "6")
    settings = {"sqlalchemy.url": "sqlite://", "sqlalchemy_slave.url": "sqlite:///:memory:"}
    return Configurator(settings=settings)


@pytest.fixture
def _often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_often")
def test_sessions_of_two_threads(config: Configurator) -> None:
    """Each session has the engine that was asked for, whatever another thread asks for meanwhile."""
    factory = c2cwsgiutils.db.init(config, "sqlalchemy", "sqlalchemy_slave", ["PUT /nothing"])
    wrong = []

    def ask(readwrite: bool) -> None:
        wanted = factory.rw_engine if readwrite else factory.ro_engine
        for _ in range(2_000):
            session = factory(SimpleNamespace(), readwrite)
            if session.get_bind() is not wanted:
                wrong.append(readwrite)

    threads = [threading.Thread(target=ask, args=(one,)) for one in (True, False) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert factory.rw_engine is not factory.ro_engine
    assert [one.pattern for one in factory.master_paths] == ["PUT /nothing"]
    assert factory.slave_paths == []


def test_sessions_of_health_checks(config: Configurator, tmp_path: Path) -> None:
    """Each check has a session on the engine that it is about, and gives the connection back."""
    names = {"": "master", "_slave": "slave"}
    config.get_settings().update({f"sqlalchemy{key}.url": f"sqlite:///{tmp_path}/{names[key]}" for key in names})
    config.include(c2cwsgiutils.pyramid.includeme)
    factory = c2cwsgiutils.db.init(config, "sqlalchemy", "sqlalchemy_slave")
    checks = c2cwsgiutils.health_check.HealthCheck(config)
    checks.add_db_session_check(factory, query_cb=lambda session: Path(session.get_bind().url.database).name)
    app = TestApp(config.make_wsgi_app())
    for _ in range(20):  # more than a pool has
        found = app.get("/c2c/health_check").json["successes"]
        assert {key: found[f"db_engine_sqlalchemy{key}"]["result"] for key in names} == names
    assert factory.rw_engine.pool.checkedout() == factory.ro_engine.pool.checkedout() == 0


def test_redis_is_away(config: Configurator, new_redis_server: Any) -> None:
    """Where Redis is away its own check fails, and no other one; a success is nobody's else business."""
    server = new_redis_server()
    config.get_settings()["c2c.redis_url"] = server.url
    config.include(c2cwsgiutils.pyramid.includeme)
    c2cwsgiutils.health_check.HealthCheck(config).add_custom_check("good", lambda request: "fine")
    app = TestApp(config.make_wsgi_app())
    assert not app.get("/c2c/health_check?max_level=2").json["failures"]
    server.kill()
    assert app.get("/c2c/health_check").json["successes"]["good"]["result"] == "fine"
    found = app.get("/c2c/health_check?max_level=2", status=500).json
    assert [name.partition(":")[0] for name in found["failures"]] == ["redis"]
    assert "good" in found["successes"]


def test_checks_that_are_not_there(config: Configurator) -> None:
    """Names that nobody knows and levels that are none are errors of who asks, and name the checks there are."""
    config.include(c2cwsgiutils.pyramid.includeme)
    c2cwsgiutils.health_check.HealthCheck(config).add_custom_check("good", lambda request: "fine")
    app = TestApp(config.make_wsgi_app())
    assert "There are: good" in app.get("/c2c/health_check?checks=goood", status=400).json["message"]
    assert "max_level" in app.get("/c2c/health_check?max_level=x", status=400).json["message"]


def test_retry() -> None:
    """A function that fails is called again."""
    calls = []

    @c2cwsgiutils.acceptance.retry(ValueError, tries=3, delay=0.001)
    def third_time() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError
        return len(calls)

    assert third_time() == 3


def test_server_timing(config: Configurator) -> None:
    """A browser reads how long it took: the word is ``dur``."""
    config.include(c2cwsgiutils.pyramid.includeme)
    app = TestApp(config.make_wsgi_app())
    timing = app.get("/c2c/health_check").headers["Server-Timing"]
    assert "total;dur=" in timing
    assert "due=" not in timing


def test_exceptions_that_nobody_handles_are_counted(config: Configurator) -> None:
    """An error that no view handles is of status 500 in metrics; times are wall time, however little was computed."""
    import time

    def fails(request: Any) -> None:
        time.sleep(0.2)
        raise RuntimeError

    config.include(c2cwsgiutils.pyramid.includeme)
    config.add_route("fails", "/fails")
    config.add_view(fails, route_name="fails")
    app = TestApp(config.make_wsgi_app())
    with pytest.raises(RuntimeError):
        app.get("/fails")
    lines = [line for line in app.get("/metrics").text.splitlines() if 'route="fails"' in line]
    (total,) = (line for line in lines if line.startswith("c2cwsgiutils_pyramid_routes_seconds_sum"))
    assert 'group="500"' in total
    assert 'status="500"' in total
    assert float(total.rsplit(" ", 1)[1]) >= 0.2


@pytest.mark.parametrize(("text", "on"), [("0", False), ("false", False), ("1", True)])
def test_a_switch_that_is_off(monkeypatch: pytest.MonkeyPatch, text: str, on: bool) -> None:
    """``C2C_SQL_REQUEST_ID=0`` is off; any text was on."""
    monkeypatch.setenv("C2C_SQL_REQUEST_ID", text)
    assert load(LoggingSettings, {}).sql_request_id is on


@pytest.mark.parametrize("by", ["environment", "ini"])
@pytest.mark.parametrize("name", ["C2C_REDIS_PUBSUB_RETRY_DELAY", "C2C_REDIS_PUBSUB_GET_MESSAGE_TIMEOUT"])
def test_what_has_no_effect(
    config: Configurator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, by: str
) -> None:
    """Settings of a listener that polls are taken, and said to be without effect, once and at DEBUG only."""
    caplog.set_level("DEBUG", logger="c2c_compat")
    if by == "environment":
        monkeypatch.setenv(name, "0.5")
    else:
        config.get_settings()[f"c2c.{name.lower().removeprefix('c2c_')}"] = "0.5"
    config.include(c2cwsgiutils.pyramid.includeme)
    config.make_wsgi_app()
    said = [(record.levelname, record.getMessage()) for record in caplog.records if name in record.getMessage()]
    assert said == [("DEBUG", f"{name} has no effect: nothing polls")]
