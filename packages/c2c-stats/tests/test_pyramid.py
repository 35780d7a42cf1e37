"""Requests and their rendering; the Server-Timing header."""

import re
import time

import pytest
from pyramid.httpexceptions import HTTPForbidden, HTTPFound
from pyramid.response import FileResponse, Response
from webtest import TestApp

import c2c_stats as stats


def routes(app):
    """Return the timers of routes and rendering, without those of our own views."""
    timers = app.get("/c2c/stats.json").json["timers"]
    return {key: one for key, one in timers.items() if "c2c_" not in key}


def add(config, name, view, **options):
    """Add a view on a route of its name."""
    config.add_route(name, f"/{name}")
    config.add_view(view, route_name=name, **options)


def test_route_and_render(make_app):
    """A request is timed as a whole, and its rendering."""

    class Slow:
        def __json__(self, request):
            time.sleep(0.02)
            return "slow"

    app = make_app(lambda config: add(config, "hello", lambda request: {"a": Slow()}, renderer="json"))
    app.get("/hello")
    found = routes(app)
    assert set(found) == {"route/GET/hello/200", "render/GET/hello/200"}
    assert 20 <= found["render/GET/hello/200"]["min_ms"] <= found["route/GET/hello/200"]["min_ms"]


def test_with_tags(make_app):
    """With tags on, stats.json has them."""
    app = make_app(
        lambda config: add(config, "hello", lambda request: {}, renderer="json"), c2c__statsd_use_tags="true"
    )
    app.get("/hello")
    assert set(routes(app)) == {
        "render/group=2/method=GET/route=hello/status=200",
        "route/group=2/method=GET/route=hello/status=200",
    }


def test_own_responses_are_not_rendered(make_app):
    """A view that makes its own response, with or without a renderer, has no rendering."""

    def configure(config):
        add(config, "own", lambda request: Response("x"))
        add(config, "both", lambda request: Response("x"), renderer="json")

    app = make_app(configure)
    app.get("/own")
    app.get("/both")
    assert not [line for line in app.get("/metrics").text.splitlines() if "render" in line], "an empty histogram"
    assert set(routes(app)) == {"route/GET/own/200", "route/GET/both/200"}


def test_statuses(make_app):
    """Redirects, errors raised as responses, nothing found, other methods."""

    def raises(request):
        raise HTTPForbidden

    def configure(config):
        add(config, "moved", lambda request: HTTPFound("/hello"))
        add(config, "forbidden", raises)

    app = make_app(configure)
    app.get("/moved", status=302)
    app.get("/forbidden", status=403)
    app.get("/nowhere", status=404)
    app.post("/nowhere", status=404)
    app.request("/nowhere", method="BREW", status=404)
    assert set(routes(app)) == {
        "route/GET/moved/302",
        "route/GET/forbidden/403",
        "route/GET/_not_found/404",
        "route/POST/_not_found/404",
        "route/_OTHER/_not_found/404",
    }


def test_uncaught_exception_is_500(make_app):
    """An exception that nobody turns into a response is status 500, and goes on its way."""

    def broken(request):
        raise ZeroDivisionError

    app = make_app(lambda config: add(config, "broken", broken))
    with pytest.raises(ZeroDivisionError):
        app.get("/broken")
    assert set(routes(app)) == {"route/GET/broken/500"}


def test_exception_view_is_rendered(make_app):
    """Where an exception view answers, its status and its rendering count."""

    def broken(request):
        raise ZeroDivisionError

    def sorry(error, request):
        request.response.status_int = 503
        return {"sorry": True}

    def configure(config):
        add(config, "broken", broken, renderer="json")
        config.add_exception_view(sorry, context=ZeroDivisionError, renderer="json")

    app = make_app(configure)
    response = app.get("/broken", status=503)
    assert "render;dur=" in response.headers["Server-Timing"]
    assert set(routes(app)) == {"route/GET/broken/503", "render/GET/broken/503"}


def test_streamed_body_is_timed_to_its_end(make_app):
    """A request is over with the last byte of its body, and is recorded once."""
    closed = []

    def slow():
        try:
            for _ in range(3):
                time.sleep(0.02)
                yield b"x"
        finally:
            closed.append(True)

    app = make_app(lambda config: add(config, "stream", lambda request: Response(app_iter=slow())))
    assert app.get("/stream").body == b"xxx"
    found = routes(app)["route/GET/stream/200"]
    assert found["nb"] == 1
    assert found["min_ms"] >= 60
    assert closed


def test_streamed_body_that_is_given_up(make_app):
    """A body whose client went away, and one that fails, are recorded too."""

    def fails():
        yield b"x"
        raise ZeroDivisionError

    def configure(config):
        add(config, "stream", lambda request: Response(app_iter=(b"x" for _ in range(10))))
        add(config, "fails", lambda request: Response(app_iter=fails()))

    app = make_app(configure)
    for path in ("/stream", "/fails"):
        environ = TestApp.RequestClass.blank(path).environ
        body = app.app(environ, lambda *_: None)
        next(iter(body))
        if path == "/fails":
            with pytest.raises(ZeroDivisionError):
                next(body)
        body.close()
    assert {key: one["nb"] for key, one in routes(app).items()} == {"route/GET/stream/200": 1, "route/GET/fails/200": 1}


def test_files_keep_the_servers_wrapper(make_app, tmp_path):
    """The body of a file stays what the server sends by sendfile; its close is the end."""
    file = tmp_path / "x.txt"
    file.write_text("content")

    class Wrapper:
        def __init__(self, file, size=0):
            self.file = file
            self.close = file.close

        def __iter__(self):
            return iter(self.file)

    app = make_app(lambda config: add(config, "file", lambda request: FileResponse(str(file), request=request)))
    environ = TestApp.RequestClass.blank("/file").environ
    environ["wsgi.file_wrapper"] = Wrapper
    body = app.app(environ, lambda *_: None)
    assert type(body) is Wrapper
    assert routes(app) == {}
    body.close()
    assert set(routes(app)) == {"route/GET/file/200"}


# The grammar: W3C Server Timing, section 3, with token and quoted-string of RFC 9110, sections 5.6.2 and 5.6.4.
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*"'
METRIC = re.compile(rf"({TOKEN})((?:[ \t]*;[ \t]*{TOKEN}[ \t]*=[ \t]*(?:{TOKEN}|{QUOTED}))*)[ \t]*(?:,[ \t]*|$)")
PARAMETER = re.compile(rf"({TOKEN})[ \t]*=[ \t]*({TOKEN}|{QUOTED})")


def parse_server_timing(value):
    """Return metric -> parameters; ValueError where the grammar does not hold."""
    found, at = {}, 0
    while at < len(value):
        match = METRIC.match(value, at)
        if match is None:
            raise ValueError(value[at:])
        at = match.end()
        found[match[1]] = {
            name: re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] == '"' else text
            for name, text in PARAMETER.findall(match[2])
        }
    return found


def test_server_timing(make_app, new_engine):
    """Route, total, rendering and database, as the W3C says."""
    from sqlalchemy import text

    engine = new_engine()

    def view(request):
        with engine.connect() as connection:
            for _ in range(int(request.params["n"])):
                connection.execute(text("SELECT 1"))
        return {}

    app = make_app(lambda config: add(config, "hello", view, renderer="json"))
    found = parse_server_timing(app.get("/hello?n=7").headers["Server-Timing"])
    assert found["route"] == {"desc": "hello"}
    assert found["db"]["desc"] == "7 queries"
    assert 0 < float(found["db"]["dur"]) < float(found["total"]["dur"])
    assert 0 < float(found["render"]["dur"]) < float(found["total"]["dur"])
    assert parse_server_timing(app.get("/hello?n=1").headers["Server-Timing"])["db"]["desc"] == "1 query"
    assert "db" not in parse_server_timing(app.get("/hello?n=0").headers["Server-Timing"])


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "a,b;c=d", "né\n😀", "x" * 1000])
def test_server_timing_of_any_route(make_app, name):
    """The header is valid, and short, whatever the route is called."""

    def configure(config):
        config.add_route(name, "/it")
        config.add_view(lambda request: Response("x"), route_name=name)

    header = make_app(configure).get("/it").headers["Server-Timing"]
    desc = parse_server_timing(header)["route"]["desc"]
    assert desc == "".join(char if " " <= char <= "~" else "_" for char in name[:100])
    assert len(header) < 500


def test_server_timing_does_not_grow(make_app):
    """A response object that is given out again and again has our header once, and keeps the application's."""
    response = Response(b"x", headerlist=[("Content-Type", "text/plain"), ("Server-Timing", "cache;desc=hit")])
    app = make_app(lambda config: add(config, "same", lambda request: response))
    for _ in range(3):
        headers = app.get("/same").headers.getall("Server-Timing")
    assert len(headers) == 2
    assert headers[0] == "cache;desc=hit"
    assert "total" in parse_server_timing(headers[1])


def test_includes_and_applications(make_app):
    """Including twice counts once; a second application does not disturb the first."""

    def configure(config):
        config.include("c2c_stats")
        config.commit()
        config.include("c2c_stats")
        add(config, "hello", lambda request: Response("x"))

    first = make_app(configure)
    first.get("/hello")
    second = make_app(configure, c2c__stats_view="false")
    second.get("/hello")
    assert routes(first)["route/GET/hello/200"]["nb"] == 2
    assert "memory" in stats.BACKENDS
    second.get("/c2c/stats.json", status=404)
    third = make_app(configure, c2c__stats_view="false", c2c__secret="a-secret-for-operators")
    told = third.get("/c2c/stats.json", headers={"X-API-Key": "a-secret-for-operators"}, status=404).json["message"]
    assert told == "/c2c/stats.json is off: set STATS_VIEW"


def test_route_prefix_and_moved_metrics(make_app):
    """Both views follow the application's route prefix; the base path and /metrics can be moved."""
    from pyramid.config import Configurator

    config = Configurator(settings={"c2c.stats_view": "true"}, route_prefix="/app")
    config.include("c2c_stats")
    app = TestApp(config.make_wsgi_app())
    assert app.get("/app/metrics").content_type == "text/plain"
    app.get("/app/c2c/stats.json")
    app.get("/metrics", status=404)
    moved = make_app(c2c__metrics_path="/internal/prometheus", c2c__base_path="/ops")
    moved.get("/internal/prometheus")
    moved.get("/ops/stats.json")


def test_section_of_the_index_page(make_app):
    """The index page links to what there is."""
    from c2c_broadcast import sections

    with_view = make_app().app.registry
    (section,) = [one for one in sections(with_view) if one.name == "stats"]
    assert [link.route for link in section.links] == ["c2c_metrics", "c2c_stats"]
    without = make_app(c2c__stats_view="false").app.registry
    (section,) = [one for one in sections(without) if one.name == "stats"]
    assert [link.route for link in section.links] == ["c2c_metrics"]
