"""The request in the log lines, wherever the code runs that logs."""

import asyncio
import contextvars
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyramid import testing
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from webtest import TestApp

from c2c_logging import run_in_context
from c2c_logging._request_ids import CURRENT, current

IDS = {"X-Request-ID": "42 is the answer"}


def test_lines_say_which_request(log, make_app):
    """Address, method, path, route and id are in each line of the request, and in no other."""
    app = make_app(lambda request: log.info("in") or {})
    log.info("before")
    app.get("/hello/a%20b", headers=IDS, extra_environ={"REMOTE_ADDR": "192.0.2.7"})
    log.info("after")
    before, line, after = log.lines()
    assert line["client_addr"] == "192.0.2.7"
    assert line["method"] == "GET"
    assert line["path"] == "/hello/a%20b"
    assert line["matched_route"] == "hello"
    assert line["request_id"] == "42 is the answer"
    assert not {"client_addr", "method", "path", "matched_route", "request_id"} & (set(before) | set(after))


def test_an_id_that_the_application_assigns(log, make_app):
    """It is cleaned, and the one of lines, of the answer and of the trace from then on; an empty one is a new one."""

    def view(request):
        log.info("before")
        trace = CURRENT.get().trace.trace_id
        request.c2c_request_id = "it's\nmine"
        log.info("after")
        assert CURRENT.get().trace.trace_id != trace
        return {"id": request.c2c_request_id}

    answer = make_app(view).get("/hello/you", headers=IDS)
    assert answer.json == {"id": "itsmine"}
    assert answer.headers["X-Request-ID"] == "itsmine"
    assert [line["request_id"] for line in log.lines()] == ["42 is the answer", "itsmine"]

    def empty(request):
        request.c2c_request_id = "'"
        return {"id": request.c2c_request_id}

    assert len(make_app(empty).get("/hello/you", headers=IDS).json["id"]) == 36


def test_what_is_everybodys_is_left_alone(make_app):
    """Neither logging's record factory nor Pyramid's class of requests is changed for other applications."""
    before, names = logging.getLogRecordFactory(), dir(Request)
    make_app().get("/hello/you")
    assert logging.getLogRecordFactory() is before
    assert dir(Request) == names
    assert not hasattr(Request, "c2c_request_id")


def test_before_the_route_is_known(log):
    """A line of a tween has no route yet, one of the view has."""
    config = Configurator()
    config.include("c2c_logging")
    config.add_subscriber(lambda event: log.info("new"), "pyramid.events.NewRequest")
    config.add_route("a", "/a")
    config.add_view(lambda request: log.info("view") or Response(), route_name="a")
    TestApp(config.make_wsgi_app()).get("/a")
    new, view = log.lines()
    assert "matched_route" not in new
    assert view["matched_route"] == "a"
    assert new["request_id"] == view["request_id"]


def test_a_request_without_a_route(log):
    """A 404 has its fields too, and the id is echoed."""
    config = Configurator()
    config.include("c2c_logging")
    config.add_notfound_view(lambda request: [log.info("a"), log.info("b")] and Response(status=404))
    answer = TestApp(config.make_wsgi_app()).get("/nowhere", status=404, headers=IDS)
    assert [line["path"] for line in log.lines()] == ["/nowhere", "/nowhere"]
    assert answer.headers["X-Request-ID"] == "42 is the answer"


def test_a_path_of_many_kilobytes(log):
    """It is cut: each line of the request has it."""
    with testing.testConfig(request=Request.blank("/" + "x" * 10_000)):
        log.info("y")
    (line,) = log.lines()
    assert 400 < len(line["path"]) < 600


def test_a_path_that_is_no_text(log):
    """Bytes that are no UTF-8 neither raise nor lose the line."""
    request = Request.blank("/")
    request.environ["PATH_INFO"] = "/\xff'\n"
    with testing.testConfig(request=request):
        log.info("x")
    assert log.lines()[0]["path"].startswith("/")


def test_an_error_view_has_the_id(log):
    """An exception and its view are in the same request."""
    config = Configurator()
    config.include("c2c_logging")
    config.add_route("a", "/a")

    def fails(request):
        raise ValueError

    config.add_view(fails, route_name="a")
    config.add_exception_view(lambda error, request: log.error("e", exc_info=error) or Response(status=500))
    answer = TestApp(config.make_wsgi_app()).get("/a", status=500, headers=IDS)
    assert answer.headers["X-Request-ID"] == "42 is the answer"
    assert log.lines()[0]["request_id"] == "42 is the answer"


def test_nothing_is_left_after_an_exception(make_app):
    """A request that fails is over too."""

    def fails(request):
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 # the view's own
        make_app(fails).get("/hello/a")
    assert CURRENT.get() is None
    assert current() is None


def test_a_subrequest_has_the_id_of_its_request(log):
    """What a view asks of its own application is part of the same request."""
    config = Configurator()
    config.include("c2c_logging")
    config.add_route("outer", "/outer")
    config.add_route("inner", "/inner")

    def outer(request):
        for use_tweens in (False, True):
            request.invoke_subrequest(Request.blank("/inner"), use_tweens=use_tweens)
        return Response(request.c2c_request_id)

    def inner(request):
        log.info(request.c2c_request_id)
        return Response()

    config.add_view(outer, route_name="outer")
    config.add_view(inner, route_name="inner")
    TestApp(config.make_wsgi_app()).get("/outer", headers=IDS)
    assert [(line["msg"], line["request_id"]) for line in log.lines()] == [("42 is the answer", "42 is the answer")] * 2


def test_threads_and_executors(log, make_app):
    """``run_in_context`` carries the request; without it a thread is in none."""

    def work(text):
        log.info(text)
        return text

    def view(request):
        with ThreadPoolExecutor(1) as executor:
            assert executor.submit(run_in_context(work), "carried").result() == "carried"
            executor.submit(work, "alone").result()
        thread = threading.Thread(target=run_in_context(work), args=("thread",))
        thread.start()
        thread.join()
        return {}

    make_app(view).get("/hello/a", headers=IDS)
    carried, alone, thread = log.lines()
    assert carried["request_id"] == thread["request_id"] == "42 is the answer"
    assert carried["matched_route"] == "hello"
    assert "request_id" not in alone


def test_tasks_and_copied_contexts(log, make_app):
    """What copies its contextvars (asyncio, ``copy_context``) needs nothing of ours."""

    async def both():
        await asyncio.to_thread(log.info, "asyncio")

    def view(request):
        asyncio.run(both())
        context = contextvars.copy_context()
        with ThreadPoolExecutor(1) as executor:
            executor.submit(context.run, log.info, "copied").result()
        return {}

    make_app(view).get("/hello/a", headers=IDS)
    assert [line["request_id"] for line in log.lines()] == ["42 is the answer"] * 2


def test_outside_of_a_request_it_carries_nothing(log):
    """A function made ready outside of a request runs outside of one, wherever that is."""
    run_in_context(log.info)("x")
    assert "request_id" not in log.lines()[0]


def test_the_function_stays_itself():
    """Name, arguments, result and exceptions are the function's."""

    def divide(a, b):
        """Divide."""
        return a / b

    carried = run_in_context(divide)
    assert (carried.__name__, carried.__doc__, carried(6, b=3)) == ("divide", "Divide.", 2)
    with pytest.raises(ZeroDivisionError):
        carried(1, 0)


def test_with_pyramids_threadlocals_only(log):
    """Scripts and tests that have no tween have a request nevertheless."""
    request = Request.blank("/script", headers=IDS)
    with testing.testConfig(request=request):
        log.info("x")
    assert log.lines()[0]["request_id"] == "42 is the answer"


def test_a_dummy_request(log):
    """``DummyRequest`` has no registry and little else; the line is written."""
    with testing.testConfig(request=testing.DummyRequest(path="/dummy")):
        log.info("x")
    assert log.lines()[0]["msg"] == "x"


def test_two_applications_do_not_disturb_each_other(make_app):
    """Each has its own header."""
    first, second = make_app(**{"c2c.request_id_header": "X-One"}), make_app()
    assert first.get("/hello/a", headers={"X-One": "1", "X-Request-ID": "2"}).json == {"id": "1"}
    assert second.get("/hello/a", headers={"X-One": "1", "X-Request-ID": "2"}).json == {"id": "2"}


def test_including_twice_changes_nothing():
    """Nor does a commit in between."""
    config = Configurator()
    config.include("c2c_logging")
    config.commit()
    config.include("c2c_logging")
    config.add_route("a", "/a")
    config.add_view(lambda request: Response(request.c2c_request_id), route_name="a")
    answer = TestApp(config.make_wsgi_app()).get("/a", headers=IDS)
    assert answer.headers.getall("X-Request-ID") == ["42 is the answer"]


def test_a_header_that_the_view_sets_is_replaced(make_app):
    """The answer has one id, that of the request."""

    def view(request):
        request.response.headers["x-request-id"] = "other"
        return {}

    answer = make_app(view).get("/hello/a", headers=IDS)
    assert answer.headers.getall("X-Request-ID") == ["42 is the answer"]


def test_filters_of_loggers_see_records_as_they_are(log, make_app):
    """Nothing is added to the record itself: other handlers show what they always did."""
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(set(record.__dict__))
    log.addHandler(handler)
    make_app(lambda request: log.info("x") or {}).get("/hello/a")
    assert seen == [set(logging.makeLogRecord({}).__dict__)]
