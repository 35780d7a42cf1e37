"""Requests in flight: rows, phases, the listing."""

import io
import logging
import threading
import time

import pytest
import redis
import requests
import sqlalchemy as sa
from pyramid.request import Request
from pyramid.response import FileResponse, Response
from webob.static import FileIter

from c2c_debug import in_flight
from c2c_debug.running import listing, phases, table, text
from c2c_debug.running.table import TABLE


def _service(make_service, view, route="thing", path="/thing/{id}", **options):
    service = make_service()
    service.config.add_route(route, path)
    service.config.add_view(view, route_name=route, **options)
    return service


def test_a_request_is_shown_while_it_is_handled(make_service):
    """Id, method, path, route, client, phase, seconds; nothing when it is over."""
    seen = []

    def view(request):
        time.sleep(0.02)
        seen.extend(listing())
        return Response("x")

    service = _service(make_service, view)
    service.app.get("/thing/7?q=1", headers={"X-Request-ID": "abc"}, extra_environ={"REMOTE_ADDR": "10.1.2.3"})
    (one,) = seen
    assert (one["method"], one["path"], one["route"], one["id"]) == ("GET", "/thing/7", "thing", "abc")
    assert (one["client"], one["phase"], one["text"]) == ("10.1.2.3", "view", None)
    assert 0.02 <= one["seconds"] < 60
    assert one["thread"] == threading.get_ident()
    assert not listing()


def test_the_view_masks_and_speaks_text(make_service):
    """``debug/running`` shows itself, as JSON and as text; a secret in a path is masked."""
    service = make_service()
    (one,) = service.get("/debug/running").json["running"]
    assert one["path"] == "/c2c/debug/running"
    assert one["route"] == "c2c_debug_running"
    answer = service.get("/debug/running", headers={"Accept": "text/plain"})
    assert "GET /c2c/debug/running, route c2c_debug_running" in answer.text
    service.app.get("/c2c/debug/running", status=403)


def test_phases_of_a_database(make_service, postgres):
    """A statement is shown on one line, without its texts, with its backend's pid; then it is the view's time again."""
    engine = sa.create_engine(
        sa.make_url(postgres.url).set(drivername="postgresql+psycopg"), pool_size=1, max_overflow=0
    )
    seen = {}
    inside = threading.Event()

    def view(request):
        with engine.connect() as connection:
            backend = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()
            seen["after"] = listing()[0]
            inside.set()
            connection.execute(sa.text("SELECT pg_sleep(0.7), 'a text',\n  1 -- comment"))
            return Response(str(backend))

    service = _service(make_service, view)
    app = service.app
    answers = []
    thread = threading.Thread(target=lambda: answers.append(app.get("/thing/1").text))
    thread.start()
    assert inside.wait(60)
    time.sleep(0.2)
    (one,) = listing()
    assert (one["phase"], one["text"]) == ("sql", "SELECT pg_sleep(0.7), ?, 1")
    second = threading.Thread(target=app.get, args=("/thing/2",))
    second.start()
    _until(lambda: "pool" in [one["phase"] for one in listing()])
    thread.join(60)
    second.join(60)
    assert str(one["backend_pid"]) == answers[0]
    assert (seen["after"]["phase"], seen["after"]["text"]) == ("view", None)
    engine.dispose()


def test_each_connection_has_its_backend(make_service, postgres):
    """Two connections in one request: with each the process that serves it."""
    engine = sa.create_engine(
        sa.make_url(postgres.url).set(drivername="postgresql+psycopg"), poolclass=sa.pool.NullPool
    )
    seen, backends = [], []

    def view(request):
        for _ in range(2):
            with engine.connect() as connection:
                backends.append(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar())
                # Called while the statement runs.
                connection.connection.dbapi_connection.add_notice_handler(lambda _notice: seen.append(listing()[0]))
                connection.execute(sa.text("DO $$ BEGIN RAISE NOTICE 'now'; END $$"))
        return Response("x")

    _service(make_service, view).app.get("/thing/1")
    assert [(one["phase"], one["backend_pid"]) for one in seen] == [("sql", pid) for pid in backends]
    assert len(set(backends)) == 2


def _until(check):
    deadline = time.monotonic() + 30
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("ask", "phase", "said"),
    [
        ("http", "http", "GET {url}/slow"),
        ("command", "redis", "BLPOP"),
        ("pipeline", "redis", "PIPELINE"),
    ],
)
def test_phases_of_other_services(make_service, http_sink, redis_server, ask, phase, said):
    """A request that waits for another service or for Redis says for which; its query, which may be secret, is not."""
    http_sink.answer(path="/slow", delay=1.0)
    client = redis.Redis.from_url(redis_server.url)
    inside = threading.Event()
    seen = []

    def view(request):
        inside.set()
        if ask == "http":
            requests.get(f"{http_sink.url}/slow?token=canary", timeout=30)
        elif ask == "command":
            client.blpop("nobody-pushes", timeout=1)
        else:
            client.pipeline(transaction=False).blpop("nobody-pushes", timeout=1).execute()
        seen.append(listing()[0])
        return Response("x")

    app = _service(make_service, view).app
    thread = threading.Thread(target=app.get, args=("/thing/1",))
    thread.start()
    assert inside.wait(60)
    found = []
    _until(lambda: seen or found.extend(one for one in listing() if one["phase"] == phase) or found)
    thread.join(60)
    client.close()
    assert [(one["phase"], one["text"]) for one in found] == [(phase, said.format(url=http_sink.url))]
    assert (seen[0]["phase"], seen[0]["text"]) == ("view", None)


def test_phases_of_rendering_and_body(make_service):
    """Rendering is told from what is before and after it, and a body that is made while it is sent from both."""
    seen = []

    class Renderer:
        def __init__(self, info):
            pass

        def __call__(self, value, system):
            seen.append(listing()[0]["phase"])
            return "x"

    def parts():
        seen.append(listing()[0]["phase"])
        yield b"x"

    def after(view, info):
        def watched(context, request):
            response = view(context, request)
            seen.append(listing()[0]["phase"])
            return response

        return watched

    service = make_service()
    service.config.add_renderer("slow", Renderer)
    service.config.add_view_deriver(after, "after", under="decorated_view", over="c2c_debug_rendering")
    service.config.add_route("a", "/a")
    service.config.add_route("b", "/b")
    service.config.add_view(lambda request: {}, route_name="a", renderer="slow")
    service.config.add_view(lambda request: Response(app_iter=parts(), content_length=1), route_name="b")
    service.app.get("/a")
    assert service.app.get("/b").headers["Content-Length"] == "1"
    assert seen == ["render", "view", "view", "body"]
    assert not listing()


def test_answers_are_as_without(make_service, tmp_path):
    """A file is sent whole and in parts, with its length; a body that nobody reads is over when it is gone."""
    (tmp_path / "file.txt").write_bytes(b"0123456789" * 30)
    service = _service(
        make_service, lambda request: FileResponse(str(tmp_path / "file.txt"), request, content_type="text/plain")
    )
    answer = service.app.get("/thing/1")
    assert answer.headers["Content-Length"] == "300"
    part = service.app.get("/thing/1", headers={"Range": "bytes=10-19"}, status=206)
    assert part.body == b"0123456789"
    assert part.headers["Content-Range"] == "bytes 10-19/300"
    assert service.app.head("/thing/1").headers["Content-Length"] == "300"
    assert not listing()


def test_a_body_is_over_when_it_is_closed_or_gone():
    """Whichever comes first; a file of WebOb's is left as it is, for it knows how to send a part."""
    tween = phases.tween_factory(lambda request: Response(app_iter=iter([b"x"])), None)
    response = tween(Request.blank("/closed"))
    assert [one["phase"] for one in listing()] == ["body"]
    response.app_iter.close()
    assert not listing()
    response = tween(Request.blank("/gone"))
    assert [one["path"] for one in listing()] == ["/gone"]
    del response
    assert not listing()
    body = FileIter(io.BytesIO(b"0123456789"))
    response = phases.tween_factory(lambda request: Response(app_iter=body), None)(Request.blank("/file"))
    assert response.app_iter is body
    assert not listing()


def test_an_error_ends_the_row(make_service):
    """A view that raises leaves nothing in flight."""

    def view(request):
        raise ValueError("the application's own")

    service = _service(make_service, view)
    with pytest.raises(ValueError, match="own"):
        service.app.get("/thing/1")
    assert not listing()


def test_a_request_within_a_request_is_a_part_of_it(make_service):
    """The outer one stays, with its route."""
    seen = []

    def view(request):
        if request.matchdict["id"] == "1":
            request.invoke_subrequest(type(request).blank("/thing/2"), use_tweens=True)
            seen.extend(listing())
        return Response("x")

    _service(make_service, view).app.get("/thing/1")
    assert [one["path"] for one in seen] == ["/thing/1"]


def test_other_work_may_take_a_row():
    """``in_flight`` shows a name; its thread's row is another one's after it."""

    def work():
        with in_flight("import of tiles"):
            found.extend(listing())

    found = []
    for _ in range(600):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(found) == 600
    assert (found[0]["path"], found[0]["method"], found[0]["phase"]) == ("import of tiles", "", "view")
    assert not listing()


def test_all_processes_as_text():
    """``text()``, which ``c2c-health-check --running`` prints, is of all processes of this user, masked."""
    with in_flight("something with password=hunter2hunter2"):
        found = text()
    assert "something with" in found
    assert "hunter2" not in found


def test_rows_are_read_whole_while_they_are_written():
    """Whatever the moment of the reading, method, path and phase belong together."""
    stop = threading.Event()

    def write():
        row = TABLE.row()
        number = 0
        while not stop.is_set():
            number += 1
            begun = row.begin(f"M{number}\0\0\0/{number}", {})
            row.enter(2, f"S{number} ".encode() * 20)
            row.leave()
            row.end(begun)

    with in_flight("begin"):
        pass
    thread = threading.Thread(target=write)
    thread.start()
    seen = []
    try:
        for _ in range(2_000):
            for one in listing():
                seen.append(one["phase"])
                assert one["method"][1:] == one["path"][1:]
                assert len(set((one["text"] or "x").split())) == 1
    finally:
        stop.set()
        thread.join()
    assert {"view", "sql"} <= set(seen)


def test_ages_are_of_the_request_and_of_its_phase():
    """Neither has anything of what this thread did before."""
    with in_flight("the first"):
        time.sleep(0.05)
    begun = time.monotonic()
    with in_flight("the second"):
        time.sleep(0.05)
        entered = time.monotonic()
        TABLE.current().enter(table.SQL, b"SELECT 1")
        (one,) = listing()
        now = time.monotonic()
    assert 0.05 <= one["seconds"] <= now - begun + 0.001
    assert one["phase_seconds"] <= now - entered + 0.001


def test_no_folder_is_said_and_felt_by_nobody(make_service, monkeypatch, caplog):
    """Where no file can be made requests are handled as ever, and a warning says why none are shown."""
    monkeypatch.setattr("c2c_debug.running.table.running_folder", _no_folder)
    TABLE.after_fork()
    try:
        with caplog.at_level(logging.WARNING):
            service = _service(make_service, lambda request: Response("x"))
            assert service.app.get("/thing/1").text == "x"
            assert service.app.get("/thing/1").text == "x"
        assert len([one for one in caplog.messages if "can't be shown" in one]) == 1
    finally:
        TABLE.after_fork()


def _no_folder():
    raise PermissionError("no shared memory")
