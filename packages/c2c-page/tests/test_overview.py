"""What the page's first lines are made of: overview, problems, history, requests in progress, processes."""

import logging
import os
import threading
import time
from types import SimpleNamespace

import pytest
from pyramid.config import Configurator
from webtest import TestApp

from c2c_broadcast import Masker, SharedState
from c2c_page import CheckHistory
from c2c_page.history import EVERY, History, history_of
from c2c_page.members import started
from c2c_page.problems import Problems, path_of, problems_of
from c2c_page.settings_view import digest

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
    """Give a configurator with the page, and two views: one fails, one waits."""
    config = Configurator(settings={"c2c.secret": SECRET}, route_prefix="/api")
    config.include("c2c_page")
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
    for number in range(120):
        exec(
            compile(f"\n{chr(10) * number}logger.error('x' * 9000 + 'end')", f"/a/b/c{number}.py", "exec"),
            {"logger": logger},
        )
    found = handler.found()
    assert len(found) == 100
    assert found[0]["place"].startswith("a/b/c119.py:")
    assert {len(one["message"]) for one in found} == {500}
    try:
        int("token=abcdefghij pa55word")
    except ValueError:
        logger.exception("it has pa55word in it")
    problem = handler.found()[0]
    assert "pa55word" not in str(problem)
    assert "abcdefghij" not in str(problem)
    assert "ValueError" in problem["trace"]
    assert len(handler.found()) == 100


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


def test_nothing_is_watched_where_logging_is_not_set_up(config):
    """Warnings would not reach standard error any more; with a handler there, one of ours is added once."""
    config.commit()
    root, registry = logging.getLogger(), config.registry
    before = root.handlers[:]
    try:
        root.handlers[:] = []
        assert problems_of(registry) is None
        assert root.handlers == []
        root.handlers[:] = [logging.NullHandler()]
        made = problems_of(registry)
        assert made is not None
        assert problems_of(registry) is made
        assert len(root.handlers) == 2
    finally:
        root.handlers[:] = before


def test_the_last_runs_of_a_check():
    """Letters of the last 30 runs, and since when it stands as it does."""
    times = iter(range(1, 100))
    history = CheckHistory(clock=lambda: float(next(times)))

    def run(outcome, state=None):
        history(SimpleNamespace(name="one", level=2, outcome=outcome, state=state or outcome))

    for _ in range(40):
        run("passed")
    assert history.found()["one"]["changed"] is False, "how it was when the process began to look is no change"
    run("failed")
    run("failed")
    run("degraded")
    assert history.found() == {
        "one": {"level": 2, "state": "degraded", "since": 43.0, "changed": True, "at": 43.0, "runs": "p" * 27 + "ffd"}
    }
    run("passed", "degraded")
    assert history.found()["one"]["since"] == 43.0


def test_the_overview(config):
    """Facts, problems, who answered: for operators, masked."""
    config.add_page_fact("health", lambda: {"mine": "passed"})
    config.add_page_fact("broken", lambda: 1 / 0)
    app = TestApp(config.make_wsgi_app())
    app.get("/api/c2c/overview", status=403)
    logging.getLogger().addHandler(null := logging.NullHandler())
    try:
        app.get("/api/c2c/overview", headers=KEY)
        with pytest.raises(RuntimeError):
            app.get("/api/fails/42?token=hidden")
        logging.getLogger("x").error("token=hidden was given")
        for _ in range(30):  # on a busy machine this process's own answer may come too late
            answer = app.get("/api/c2c/overview", headers=KEY).json
            if answer["members"]:
                break
    finally:
        logging.getLogger().removeHandler(null)
    [member] = answer["members"]
    assert (member["pid"], answer["complete"], answer["missing"]) == (os.getpid(), True, [])
    assert (member["health"], member["broken"]) == ({"mine": "passed"}, None)
    assert member["started"] < answer["now"]
    assert member["packages"]["c2c-page"]
    assert member["problems"][0]["message"] == "token=*** was given"
    assert answer["changed"] == []


def test_a_problem_is_acknowledged_and_cleared(config):
    """By its key, in every process, by POST; a key that is none is said."""
    app = TestApp(config.make_wsgi_app())
    root = logging.getLogger()
    before = root.handlers[:]
    root.addHandler(logging.NullHandler())
    try:
        app.get("/api/c2c/problems", headers=KEY)
        app.post("/api/c2c/problems", {"clear": "all"}, headers=KEY)
        logging.getLogger("x").error("one")
        logging.getLogger("x").error("two")
        two, one = app.get("/api/c2c/problems", headers=KEY).json["members"][0]["problems"]
        answer = app.post("/api/c2c/problems", {"acknowledge": one["key"]}, headers=KEY).json
        assert [bool(problem["acknowledged"]) for problem in answer["members"][0]["problems"]] == [False, True]
        answer = app.post("/api/c2c/problems", {"clear": two["key"]}, headers=KEY).json
        assert [problem["message"] for problem in answer["members"][0]["problems"]] == ["one"]
        assert "all" in app.get("/api/c2c/problems?clear=%3Cb%3E", headers=KEY, status=400).json["message"]
        app.get("/api/c2c/problems?clear=all", status=403)
        assert app.get("/api/c2c/problems", headers=KEY).json["members"][0]["problems"]
    finally:
        root.handlers[:] = before


def test_changes_by_hand(config):
    """What a shared state holds is told, with its end; and not any more when it was reset."""
    state = SharedState("test_page.flag")
    config.add_page_state("flag", state)
    app = TestApp(config.make_wsgi_app())
    state.set("a", "on", ttl=60, who="me")
    [changed] = app.get("/api/c2c/overview", headers=KEY).json["changed"]
    assert (changed["what"], changed["key"], changed["value"], changed["who"]) == ("flag", "a", "on", "me")
    assert 0 < changed["expires"] - time.time() <= 60
    state.reset("a")
    assert app.get("/api/c2c/overview", headers=KEY).json["changed"] == []


def test_the_last_30_minutes():
    """A point for five seconds: requests, errors, times, those in progress; of bounded size, however much there was."""
    now = [1000.0]
    history = History(clock=lambda: now[0], monotonic=lambda: now[0])

    def handle(request):
        now[0] += request["seconds"]
        if request["status"] is None:
            raise ZeroDivisionError
        return SimpleNamespace(status_int=request["status"])

    tween = history.tween(handle)
    for _ in range(19):
        tween({"seconds": 0.01, "status": 200})
    tween({"seconds": 0.5, "status": 503})
    with pytest.raises(ZeroDivisionError):
        tween({"seconds": 0.5, "status": None})
    history.busy[1] = None
    assert history.found() == []
    assert history.turn() == history.turn() == EVERY
    [[at, requests, errors, mean, p95, busy, rss]] = history.found()
    assert (at, requests, errors, mean, p95, busy) == (round(now[0], 2), 21, 2, 56.67, 500, 1)
    assert rss > 1000
    for _ in range(500):
        tween({"seconds": 0, "status": 200})
        history.turn()
    assert len(history.found()) == 360
    assert history.found()[-1][1] == 1, "each request is in one point"


def test_points_are_made_by_a_thread_of_the_process_that_serves(config):
    """It begins with the first request, not before: the process may be a master that forks."""
    app = TestApp(config.make_wsgi_app())
    worker = history_of(config.registry).worker
    assert not worker.running
    app.get("/api/c2c")
    assert worker.running
    assert worker.close(60)


def test_many_requests_between_two_points_are_bounded():
    """Only so many times are kept for the percentile."""
    history = History(monotonic=lambda: 0.0)
    tween = history.tween(lambda request: SimpleNamespace(status_int=200))
    for _ in range(20_500):
        tween(None)
    assert len(history._ended) == 20_000


def test_history_of_all_processes(config):
    """For operators, with the names of the columns."""
    app = TestApp(config.make_wsgi_app())
    app.get("/api/c2c/history", status=403)
    answer = app.get("/api/c2c/history", headers=KEY).json
    assert (answer["columns"][0], answer["every"], answer["complete"]) == ("time", 5.0, True)
    assert answer["members"][0]["points"] == []


def test_requests_in_progress(config):
    """A request counts from its begin to its end."""
    app = TestApp(config.make_wsgi_app())
    thread = threading.Thread(target=app.get, args=("/api/waits/here",))
    thread.start()

    def busy():
        return app.get("/api/c2c/overview", headers=KEY).json["members"][0]["busy"]

    end = time.monotonic() + 60
    while busy() != 2:  # and the one that asks
        assert time.monotonic() < end
    config.registry["go"].set()
    thread.join(60)
    assert busy() == 1


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


def test_a_response_of_another_class():
    """It goes through as it is, whatever it lacks."""
    answer = SimpleNamespace(headerlist=[], app_iter=[b""])
    assert History().tween(lambda request: answer)(SimpleNamespace()) is answer
