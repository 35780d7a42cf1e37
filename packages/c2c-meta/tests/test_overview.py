"""What the page's first lines are made of: overview, problems, history, requests in progress, processes."""

import logging
import os
import threading
import time
from types import SimpleNamespace

import pytest
from pyramid.config import Configurator
from webtest import TestApp

from c2c_broadcast import Masker
from c2c_health import HealthChecked, State
from c2c_meta._health_history import HealthHistory
from c2c_meta._problems import Problems, watch
from c2c_meta._process import digest, started
from c2c_meta._running import path_of

SECRET = "a-long-enough-secret"
KEY = {"X-API-Key": SECRET}


@pytest.fixture
def log():
    """Give a logger with a handler that keeps problems, and the handler."""
    logger = logging.getLogger("test_overview")
    handler = Problems(Masker(["pa55word"]))
    logger.propagate = False
    logger.addHandler(handler)
    yield logger, handler
    logger.removeHandler(handler)
    logger.propagate = True


@pytest.fixture
def config():
    """Give a configurator with the whole toolkit, and two views: one fails, one waits."""
    config = Configurator(settings={"c2c.secret": SECRET}, route_prefix="/api")
    config.include("c2c_meta")
    config.registry["go"] = threading.Event()

    def fails(request):
        raise RuntimeError("the password=hunter22 is wrong")

    def waits(request):
        request.registry["go"].wait(60)
        return request.response

    for name, view in (("fails", fails), ("waits", waits)):
        config.add_route(name, f"/{name}/{{what}}")
        config.add_view(view, route_name=name)
    return config


def test_the_same_problems_are_one(log):
    """Records of one line of code are one problem, counted; a storm is rendered once a second."""
    logger, handler = log
    for number in range(100):
        logger.warning("number %s", number)
    logger.error("another")
    other, same = handler.found()
    assert (other["message"], other["count"], other["level"]) == ("another", 1, "ERROR")
    assert (same["count"], same["logger"]) == (100, "test_overview")
    assert same["first"] <= same["last"]


def test_problems_are_bounded_and_masked(log):
    """Long messages and tracebacks are cut, secrets hidden, the least recent forgotten."""
    logger, handler = log
    for number in range(60):
        exec(
            compile(f"\n{chr(10) * number}logger.error('x' * 9000 + 'end')", f"/a/b/c{number}.py", "exec"),
            {"logger": logger},
        )
    found = handler.found()
    assert len(found) == 50
    assert found[0]["place"].startswith("a/b/c59.py:")
    assert {len(one["message"]) for one in found} == {500}
    try:
        int("token=abcdefghij pa55word")
    except ValueError:
        logger.exception("it has pa55word in it")
    problem = handler.found()[0]
    assert "pa55word" not in str(problem)
    assert "abcdefghij" not in str(problem)
    assert "ValueError" in problem["trace"]
    assert len(handler.found()) == 50


def test_a_record_that_cannot_be_read_disturbs_nobody(log):
    """Wrong arguments, an object that raises: who logs does not hear of it."""
    logger, handler = log

    class Bad:
        def __str__(self):
            raise RuntimeError("no text")

    for number, (message, argument) in enumerate((("%d", "x"), ("%s", Bad()))):
        # Given to this handler alone: pytest's own would raise.
        handler.handle(logger.makeRecord("x", logging.WARNING, "x.py", number, message, (argument,), None))
    assert [one["message"] for one in handler.found()] == [
        "RuntimeError in a message '%s'",
        "TypeError in a message '%d'",
    ]


def test_nothing_is_watched_where_logging_is_not_set_up():
    """Warnings would not reach standard error any more; with a handler there, one of ours is added once."""
    root = logging.getLogger()
    before = root.handlers[:]
    try:
        root.handlers[:] = []
        assert watch(Masker()) is None
        assert root.handlers == []
        root.handlers[:] = [logging.NullHandler()]
        made = watch(Masker())
        assert made is not None
        assert watch(Masker()) is made
        assert len(root.handlers) == 2
    finally:
        root.handlers[:] = before


def test_the_last_runs_of_a_check():
    """Letters of the last 30 runs, and since when it stands as it does."""
    times = iter(range(1, 100))
    history = HealthHistory(clock=lambda: float(next(times)))

    def run(outcome, state=None):
        history(HealthChecked("one", 2, "custom", outcome, state or outcome, 0.1, changed=False))

    for _ in range(40):
        run(State.PASSED)
    assert history.found()["one"]["changed"] is False, "how it was when the process began to look is no change"
    run(State.FAILED)
    run(State.FAILED)
    run(State.DEGRADED)
    assert history.found() == {
        "one": {"level": 2, "state": "degraded", "since": 43.0, "changed": True, "at": 43.0, "runs": "p" * 27 + "ffd"}
    }
    run(State.PASSED, State.DEGRADED)
    assert history.found()["one"]["since"] == 43.0


def test_the_overview(config):
    """Health, problems, what was changed by hand, who answered: for operators, masked."""
    config.add_health_check("mine", lambda request: None)
    app = TestApp(config.make_wsgi_app())
    app.get("/api/c2c/overview", status=403)
    logging.getLogger().addHandler(null := logging.NullHandler())
    try:
        app.get("/api/c2c/overview", headers=KEY)
        app.get("/api/c2c/health_check")
        app.get("/api/fails/42?token=hidden", status=500)
        answer = app.get("/api/c2c/overview", headers=KEY).json
    finally:
        logging.getLogger().removeHandler(null)
    [member] = answer["members"]
    assert (member["pid"], answer["complete"], answer["missing"]) == (os.getpid(), True, [])
    assert member["health"]["mine"]["runs"] == "p"
    assert member["started"] < answer["now"]
    problem = next(one for one in member["problems"] if "RuntimeError" in (one["trace"] or ""))
    assert problem["request"] == "GET /api/fails/42"
    assert "hunter22" not in str(answer)
    assert "token=hidden" not in str(answer)
    assert answer["changed"] == []


def test_changes_by_hand(config):
    """A level that is set is told, with its end; and not any more when it was reset."""
    config.registry.settings["c2c.log_view_enabled"] = "true"
    config = Configurator(settings={**config.registry.settings}, route_prefix="/api")
    config.include("c2c_meta")
    app = TestApp(config.make_wsgi_app())
    app.post("/api/c2c/logging/level", {"name": "test_overview.x", "level": "DEBUG", "ttl": "60"}, headers=KEY)
    [changed] = app.get("/api/c2c/overview", headers=KEY).json["changed"]
    assert (changed["what"], changed["key"], changed["value"]) == ("log level", "test_overview.x", "DEBUG")
    assert 0 < changed["expires"] - time.time() <= 60
    app.post("/api/c2c/logging/level", {"name": "test_overview.x", "level": "reset"}, headers=KEY)
    assert app.get("/api/c2c/overview", headers=KEY).json["changed"] == []


def test_requests_in_progress(config):
    """A request is there from its begin to its end, with its route, without its query."""
    app = TestApp(config.make_wsgi_app())
    thread = threading.Thread(target=app.get, args=("/api/waits/here?password=hidden",))
    thread.start()

    def of_waits():
        found = app.get("/api/c2c/overview", headers=KEY).json["members"][0]["running"]
        return [one for one in found if one["path"] == "/api/waits/here"]

    end = time.monotonic() + 60
    while not (found := of_waits()) or found[0]["route"] is None:
        assert time.monotonic() < end
    config.registry["go"].set()
    thread.join(60)
    assert (found[0]["method"], found[0]["route"]) == ("GET", "waits")
    assert of_waits() == []


def test_paths_of_any_bytes():
    """A path is read as UTF-8, and what is none does not disturb."""
    for sent, read in (("/caf\xc3\xa9", "/café"), ("/\xff", "/\ufffd"), ("/" + "x" * 900, "/" + "x" * 199)):
        assert path_of(SimpleNamespace(environ={"PATH_INFO": sent})) == read


def test_when_a_process_started(tmp_path):
    """As /proc tells, whatever the program is called; None where it does not."""
    (tmp_path / "7").mkdir()
    tick = os.sysconf("SC_CLK_TCK")
    (tmp_path / "7" / "stat").write_text(f"7 (a (b) c) S {' '.join('0' * 18)} {5 * tick} 0 0\n")
    (tmp_path / "stat").write_text("cpu 1 2\nbtime 1000\n")
    assert started(7, tmp_path) == 1005.0
    assert started(8, tmp_path) is None
    assert abs(started(os.getpid()) - time.time()) < 24 * 3600


def test_a_digest_is_of_lines_in_any_order():
    """Two processes with the same settings say the same."""
    assert digest(["a", "b"]) == digest(["b", "a"]) != digest(["a", "c"])
