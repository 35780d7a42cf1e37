"""The Python profiler's filter and pages, with pyinstrument."""

import http.client
import json
import logging
import os
import re
import time
from urllib.parse import urlencode

import pytest
from pyramid.config import Configurator
from pyramid.response import Response
from webtest import TestApp

from c2c_broadcast import ConfigurationError
from c2c_debug.profiler import filter_wsgi_app
from c2c_debug.profiler.pyinstrument_engine import Recording, pie, shares
from c2c_debug.profiler.sessions import Session, Sessions

SECRET = "an-operators-secret-of-some-length"
KEY = {"X-API-Key": SECRET}


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    """Let the private folder be in the test's own place."""
    (tmp_path / "own").mkdir()
    monkeypatch.setattr("c2c_debug.profiler.service_folder", lambda name, on_disk: tmp_path / "own")


def _spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        json.dumps(list(range(2000)))


def _app(**settings):
    """Return an application with the filter round it, over WebTest."""
    config = Configurator(settings={"c2c.profiler_path": "/profiler", "c2c.secret": SECRET, **settings})

    def work(request):
        _spin(0.2)
        return Response("done", status=int(request.params.get("status", 200)))

    def fails(request):
        raise ValueError("the application's own")

    for name, view in (("job", work), ("fails", fails)):
        config.add_route(name, f"/{name}/{{rest:.*}}")
        config.add_view(view, route_name=name)
    return TestApp(filter_wsgi_app(config.make_wsgi_app()))


def _numbers(app):
    """Return the numbers of the profiled requests, as the page lists them."""
    return re.findall(r"/profiler/session/(\d+)", app.get("/profiler", headers=KEY).text)


def test_it_is_off_at_the_start(make_service):
    """Until it is enabled no request is profiled."""
    app = _app()
    app.get("/job/")
    page = app.get("/profiler", headers=KEY)
    assert "Profiling is <strong>disabled</strong>" in page.text
    assert _numbers(app) == []


def test_without_a_path_there_is_none():
    """The filter is the application itself."""
    application = Configurator().make_wsgi_app()
    assert filter_wsgi_app(application) is application


def test_a_request_is_profiled_and_shown():
    """Time, duration, method and path in the list; call tree, flame graph and pie of one."""
    app = _app(**{"c2c.profiler_modules": "json no.such"})
    page = app.post("/profiler/", {"enable": ""}, headers=KEY, status=303)
    assert page.location.endswith("/profiler/")
    app.get("/job/here?status=418&password=hunter2", status=418)
    page = app.get("/profiler", headers=KEY)
    assert ">enabled</strong>" in page.text
    assert re.search(r"<td>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d</td>", page.text)
    assert re.search(r"<td class=\"number\">\d+\.\d ms</td><td>GET</td>", page.text)
    assert ">/job/here</a></td><td>418</td>" in page.text
    assert "hunter2" not in page.text
    (number,) = _numbers(app)
    page = app.get(f"/profiler/session/{number}", headers=KEY)
    assert f'<iframe src="/profiler/session/{number}/html"' in page.text
    assert "conic-gradient(" in page.text
    assert re.search(r"<td>json</td><td class=\"number\">\d+\.\d ms</td>", page.text)
    assert page.headers["Content-Type"] == "text/html; charset=UTF-8"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "no-cache" in page.headers["Cache-Control"]
    page = app.get(f"/profiler/session/{number}/html", headers=KEY)
    assert "pyinstrument" in page.text
    assert "_spin" in page.text
    assert "frame-ancestors 'self'" in page.headers["Content-Security-Policy"]
    profile = app.get(f"/profiler/session/{number}/speedscope", headers=KEY).json
    assert "GET /job/here" in profile["name"]
    assert 0.2 <= profile["profiles"][0]["endValue"] < 10
    # A sample may have been taken between two calls: that is a frame without a file.
    frames = [(one["name"], one["file"][-17:]) for one in profile["shared"]["frames"] if one["file"]]
    assert frames[1] == ("__call__", "pyramid/router.py")


def test_two_filters_are_as_one():
    """A request that goes through the filter of the pipeline and that of c2c-run is profiled once."""
    app = _app()
    twice = TestApp(filter_wsgi_app(app.app, {"c2c.profiler_path": "/profiler", "c2c.secret": SECRET}))
    twice.post("/profiler/", {"enable": ""}, headers=KEY)
    for _ in range(2):
        twice.get("/job/")
    assert len(set(_numbers(twice))) == 2


def test_an_error_of_the_application_passes():
    """It comes through as it is, and its request is kept."""
    app = _app()
    app.post("/profiler/", {"enable": ""}, headers=KEY)
    with pytest.raises(ValueError, match="the application's own"):
        app.get("/fails/")
    assert len(_numbers(app)) == 1


def test_deleting():
    """One, several, all."""
    app = _app()
    app.post("/profiler/", {"enable": ""}, headers=KEY)
    for number in range(5):
        app.get(f"/nothing/{number}", status=404)
    app.post("/profiler/", {"disable": ""}, headers=KEY)
    app.get("/nothing/6", status=404)
    numbers = _numbers(app)
    assert len(numbers) == 5
    app.post("/profiler/", {"id": numbers[0]}, headers=KEY, status=303)
    assert _numbers(app) == numbers[1:]
    app.post("/profiler/", urlencode([("id", numbers[1]), ("id", numbers[2])]), headers=KEY, status=303)
    assert _numbers(app) == numbers[3:]
    app.post("/profiler/", {"id": numbers[3], "enable": ""}, headers=KEY, status=303)
    assert _numbers(app) == numbers[3:]
    app.post("/profiler/", {"all": "1"}, headers=KEY, status=303)
    assert _numbers(app) == []


def test_only_operators():
    """Every page is a 403 without the secret; changes are refused by GET and from other sites."""
    app = _app()
    for path in ("/profiler", "/profiler/", "/profiler/session/1", "/profiler/session/1/html"):
        app.get(path, status=403)
    for what in ("enable", "disable", "all"):
        app.post("/profiler/", {what: ""}, status=403)
    app.get("/profiler/?enable", headers=KEY)
    assert "<strong>disabled<" in app.get("/profiler", headers=KEY).text
    app.get("/profiler", params={"secret": SECRET})
    app.get("/profiler")  # by the cookie, from now on
    app.post("/profiler/", {"enable": ""}, headers={"Origin": "https://evil.example"}, status=403)
    app.post("/profiler/", {"enable": ""}, headers={"Origin": "http://localhost:80"}, status=303)


def test_without_a_secret_everybody_may():
    """On a developer's machine, where no secret is set, the pages are open."""
    app = _app(**{"c2c.secret": ""})
    app.post("/profiler/", {"enable": ""}, status=303)
    app.get("/job/")
    assert "/job/" in app.get("/profiler").text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("session/99", 404),
        ("session/x", 404),
        ("session/" + "9" * 40, 404),
        ("session/9/html", 404),
        ("session/x/speedscope", 404),
        ("session/1/other", 404),
        ("nothing", 404),
    ],
)
def test_what_is_not_there(path, status):
    """Unknown pages and requests are said to be."""
    _app().get(f"/profiler/{path}", headers=KEY, status=status)


@pytest.mark.parametrize("path", ["%ff", "session/%ff", "%ff?secret=wrong", "%C3%28/x"])
def test_an_address_that_cannot_be_read_is_a_400(path):
    """Bytes that are no UTF-8 are the client's fault: JSON, no traceback."""
    answer = _app().get(f"/profiler/{path}", headers=KEY, status=400)
    assert "UTF-8" in answer.json["message"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "OPTIONS", "DELETE", "PATCH"])
def test_a_guess_counts_whatever_the_method(method):
    """The page is no place to try secrets at: ten wrong ones lock the address, and an error sets no cookie."""
    app = _app()
    answers = [app.request(f"/profiler/?secret=guess{n}", method=method, status="*") for n in range(30)]
    assert app.get("/profiler/", headers=KEY, status=429).headers["Retry-After"]
    assert all("Set-Cookie" not in answer.headers for answer in answers)


@pytest.mark.parametrize("path", ["/a/b", "a/b", "/", "/a b", "/{x}"])
def test_a_bad_path_stops_the_start(path):
    """The path is one element at the root."""
    with pytest.raises(ConfigurationError, match="C2C_PROFILER_PATH"):
        _app(**{"c2c.profiler_path": path})


def test_paths_that_only_begin_like_it_are_the_applications():
    """``/profilers`` is not the profiler's."""
    app = _app()
    assert app.get("/profilers", status=404).headers.get("Content-Security-Policy") is None


def test_markup_in_a_path_is_text():
    """What a client sends is escaped in the list and in the page of its request."""
    app = _app()
    app.post("/profiler/", {"enable": ""}, headers=KEY)
    app.get("/job/%3Cscript%3Ealert(1)%3C/script%3E%22onload=%22x")
    page = app.get("/profiler", headers=KEY).text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    (number,) = _numbers(app)
    for form in ("", "/html"):
        assert "<script>alert" not in app.get(f"/profiler/session/{number}{form}", headers=KEY).text


def test_a_profiler_that_fails_is_not_felt(tmp_path, caplog):
    """With its file broken the request is answered, and the log says what happened."""
    app = _app()
    app.post("/profiler/", {"enable": ""}, headers=KEY)
    path = tmp_path / "own"
    (path / "sessions.sqlite").unlink(missing_ok=True)
    (path / "sessions.sqlite").mkdir()
    with caplog.at_level(logging.WARNING):
        assert app.get("/job/").text == "done"
    assert "A request can't be profiled" in caplog.text


def test_sessions_are_bounded(tmp_path):
    """The newest 200 are kept."""
    sessions = Sessions(tmp_path / "file.sqlite")
    for number in range(210):
        sessions.add(Session(0, number, "GET", "/", "200"), {})
    found = sessions.all()
    assert len(found) == 200
    assert [found[0].duration, found[-1].duration] == [209, 10]


def test_sessions_of_many_bytes_make_room(tmp_path, monkeypatch):
    """The newest that fit together are kept."""
    monkeypatch.setattr("c2c_debug.profiler.sessions._MOST_BYTES", 2000)
    sessions = Sessions(tmp_path / "file.sqlite")
    for number in range(5):
        sessions.add(Session(0, number, "GET", "/", "200"), os.urandom(500).hex())  # 500 to 1,000 bytes, packed
    kept = len(sessions.all())
    assert 2 <= kept <= 4
    assert [one.duration for one in sessions.all()] == [4, 3, 2, 1][:kept]


def test_what_is_recorded_is_bounded(monkeypatch):
    """Of one request so many different stacks, of so many frames."""

    def records():
        recording = Recording()
        assert recording.start()
        _spin(0.2)
        recording.stop()
        return recording.data(Session(0, 0.2, "GET", "/", "200"))["frame_records"]

    found = records()
    assert len(found) > 1
    assert max(len(stack) for stack, _ in found) > 4
    monkeypatch.setattr("c2c_debug.profiler.pyinstrument_engine._MOST_STACKS", 1)
    assert len(records()) == 1
    monkeypatch.setattr("c2c_debug.profiler.pyinstrument_engine._DEEPEST", 3)
    assert [len(stack) for stack, _ in records()] == [4]  # below one root


def test_shares_of_packages():
    """A frame's own time is of the innermost package among those who called it."""
    f, g, h = "f\x00/x/app/a.py\x001", "g\x00/x/lib/q.py\x002\x01c", "h\x00/x/app/sub/b.py\x003"
    records = [[[f], 2], [[f, g], 4], [[f, h], 3], [["[self]"], 1]]
    assert shares({"frame_records": records}, ("app", "app.sub")) == {"app": 6, "app.sub": 3, "other": 1}
    shown = pie({"one": 3.0, "two": 1.0, "other": 0.0})
    assert "#4e79a7 0.00% 75.00%, #f28e2b 75.00% 100.00%, #59a14f 100.00% 100.00%" in shown
    assert '<td>one</td><td class="number">3000.0 ms</td><td class="number">75.0%</td>' in shown
    assert "<other>" not in pie({"<other>": 1.0})


_APP = """
import os, time
from pyramid.config import Configurator
from pyramid.response import Response
from c2c_debug.profiler import filter_wsgi_app

def where(request):
    time.sleep(0.05)
    return Response(str(os.getpid()))

def build():
    config = Configurator()
    config.include("c2c_debug")
    config.add_route("where", "/where")
    config.add_view(where, route_name="where")
    return config.make_wsgi_app()

application = filter_wsgi_app(build())
"""


@pytest.mark.parametrize("preload", [False, True])
def test_all_workers(workers, eventually, preload):
    """Enabled once it profiles in each of three workers, also in those born later; all pages show all requests."""
    some = workers(_APP, preload=preload, env={"C2C_PROFILER_PATH": "profiler"})

    def answered():
        return set(map(int, some.ask_all("/where")))

    seen = set()
    eventually(lambda: seen.update(answered()) or seen >= set(some.server.pids()))
    assert b">/where<" not in some.ask("GET", "/profiler")[2]
    assert some.ask("POST", "/profiler?enable")[0] == 303
    answered()
    for _ in range(4):
        assert some.ask("GET", "/profiler")[2].count(b">/where<") == 12
    before = set(some.server.pids())
    some.server.signal(1)
    eventually(lambda: len(some.server.pids()) == 3 and not before & set(some.server.pids()))
    answered()
    page = eventually(lambda: (page := some.ask("GET", "/profiler")[2]).count(b">/where<") >= 24 and page)
    assert b"<strong>enabled<" in page
    assert some.ask("POST", "/profiler?disable")[0] == 303
    assert some.ask("POST", "/profiler?all")[0] == 303
    # Another start of the same service begins with it off, and without requests.
    some.ask("POST", "/profiler?enable")
    some.server.restart()
    page = some.ask("GET", "/profiler")[2]
    assert b"<strong>disabled<" in page
    assert b">/where<" not in page


def test_a_paste_pipeline(gunicorn, tmp_path):
    """``use = egg:c2c-debug#profiler`` in an ini file, whose [DEFAULT] counts: its secret guards the page."""
    (tmp_path / "service.py").write_text(_APP.replace("filter_wsgi_app(build())", "None"))
    (tmp_path / "production.ini").write_text(
        f"[DEFAULT]\nc2c.secret = {SECRET}\n"
        "[pipeline:main]\npipeline = profiler app\n"
        "[filter:profiler]\nuse = egg:c2c-debug#profiler\nc2c.profiler_path = /prof\n"
        "[app:app]\npaste.app_factory = service:main\n"
    )
    with (tmp_path / "service.py").open("a") as file:
        file.write("\ndef main(global_config, **settings):\n    return build()\n")
    server = gunicorn(args=["--paste", "production.ini"], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    for headers, status, text in (({}, 403, b"Missing or invalid secret"), (KEY, 200, b"Profiling is")):
        connection.request("GET", "/prof", headers=headers)
        answer = connection.getresponse()
        assert answer.status == status
        assert text in answer.read()
    connection.close()
