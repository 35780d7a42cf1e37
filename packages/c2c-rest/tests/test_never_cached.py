"""``http_cache`` says what it says without us."""

import pytest
from pyramid.config import Configurator
from pyramid.response import Response
from webtest import TestApp

from c2c_rest._never_cached import never_cached_view

_NAMES = ("Cache-Control", "Expires", "Last-Modified", "Pragma")


def _plain(request):
    return Response("x")


def _own_control(request):
    request.response.cache_control.private = True
    return {}


def _prevents(request):
    request.response.cache_control.prevent_auto = True
    return {}


def _headers(*names):
    def view(request):
        response = Response("x")
        response.headerlist += [(name, "Thu, 01 Jan 1970 00:00:00 GMT") for name in names]
        return response

    return view


VIEWS = {
    "plain": _plain,
    "dict": lambda request: {},
    "own control": _own_control,
    "prevents": _prevents,
    "last-modified": _headers("Last-Modified"),
    "expires": _headers("expires"),
    "pragma": _headers("PRAGMA"),
    "lengths": _headers("X-Some-Header", "X-Other"),
    "control": lambda request: Response("x", cache_control="private"),
}


def _answer(includes, view, **options):
    config = Configurator(settings={"handle_exceptions": "false"})
    for include in includes:
        config.include(include)
    config.add_route("x", "/x")
    config.add_view(view, route_name="x", renderer="string", **options)
    headers = TestApp(config.make_wsgi_app()).get("/x").headers
    return {
        # The second may have passed between two answers.
        name: [value[:-7] if value.endswith("GMT") else sorted(value.split(", ")) for value in headers.getall(name)]
        for name in _NAMES
    }


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("options", [{"http_cache": 0}, {"http_cache": 60}, {"http_cache": (0, {"public": True})}, {}])
def test_the_headers_are_pyramids(view, options):
    """Whatever the view sets itself, and whatever http_cache is, the headers are those without c2c_rest."""
    assert _answer(["c2c_rest"], view, **options) == _answer([], view, **options)


def test_it_is_used(make_app):
    """It is in the place of Pyramid's, and a setting that prevents caching headers is obeyed."""

    def configure(config):
        config.add_route("never", "/never")
        config.add_view(lambda request: {}, route_name="never", renderer="json", http_cache=0)

    app = make_app(configure)
    derivers = [one["introspectable"] for one in app.app.registry.introspector.get_category("view derivers")]
    found = [one for one in derivers if one["name"] == "http_cached_view"]
    assert [one["deriver"] for one in found] == [never_cached_view]
    answer = app.get("/never")
    assert answer.headers["Cache-Control"].startswith("max-age=0")
    assert answer.headers["Expires"] == answer.headers["Last-Modified"]
    without = make_app(configure, {"pyramid.prevent_http_cache": "true"})
    assert "Cache-Control" not in without.get("/never").headers
