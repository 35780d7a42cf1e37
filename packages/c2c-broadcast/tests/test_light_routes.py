"""Routes are found as Pyramid finds them."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyramid.config import Configurator
from pyramid.exceptions import URLDecodeError
from pyramid.interfaces import IRoutesMapper
from pyramid.request import Request
from pyramid.urldispatch import Route, RoutesMapper
from webtest import TestApp

from c2c_broadcast._light_routes import LightRoutesMapper, lighten_routes

_SEGMENTS = st.sampled_from(
    ["", "a", "ab", "b", "%20", " ", "é", "a.b", "{x}", "{x:a|b}", "a{x}", ":x", "a:x", "{x:a/b}", r"{x:\d{1}}", "1"]
)
_PATTERNS = st.builds(
    lambda slash, segments, end: slash + "/".join(segments) + end,
    st.sampled_from(["", "/", "//"]),
    st.lists(_SEGMENTS, min_size=1, max_size=3).filter(lambda found: sum(":x" in s or "{x" in s for s in found) < 2),
    st.sampled_from(["", "", "/", "*rest", "/*rest"]),
)
_PATHS = st.builds(
    lambda segments, end: "/" + "/".join(segments) + end,
    st.lists(st.sampled_from(["", "a", "ab", "b", "%20", " ", "é", "a.b", "1", "x", "a\n"]), max_size=4),
    st.sampled_from(["", "", "/", "\n"]),
)


def _both(patterns):
    mappers = RoutesMapper(), RoutesMapper()
    for mapper in mappers:
        for index, pattern in enumerate(patterns):
            predicates = (lambda found, request, index=index: len(request.path_info) % 3 != index % 3,)
            mapper.connect(str(index), pattern, predicates=predicates if index % 2 else ())
    mappers[1].__class__ = LightRoutesMapper
    return mappers


def _found(mapper, path):
    request = Request({"PATH_INFO": path.encode().decode("latin-1")})
    info = mapper(request)
    return info["route"] and info["route"].name, info["match"]


@settings(max_examples=150, deadline=None)
@example(["/a"], ["/a\n"])
@example(["/a*rest", "/{x}"], ["/ab/c", "/b", "/"])
@example([b"/a", "/a"], ["/a"])
@example(["", "*rest"], ["/", "", "a", "//"])
@given(st.lists(_PATTERNS, max_size=8), st.lists(_PATHS, min_size=1, max_size=20))
def test_the_same_route_is_found(patterns, paths):
    """Whatever the patterns, predicates and paths are, Pyramid's own mapper gives the same."""
    theirs, ours = _both(patterns)
    for path in paths:
        assert _found(ours, path) == _found(theirs, path), (patterns, path)


def test_bad_paths_are_answered_as_ever():
    """No path at all is the root; one that is no UTF-8 is Pyramid's error."""
    _, mapper = _both(["/", "/{x}"])
    assert mapper(Request({}))["route"].name == "0"
    with pytest.raises(URLDecodeError):
        mapper(Request({"PATH_INFO": "/\xff"}))


def test_an_application_has_it():
    """An application that includes the base routes this way, routes that come late too; its list stays what it was."""
    config = Configurator()
    config.include("c2c_broadcast")
    for name in ("one", "two"):
        config.add_route(name, f"/{name}")
        config.add_view(lambda request: request.matched_route.name, route_name=name, renderer="string")
    app = TestApp(config.make_wsgi_app())
    mapper = config.registry.getUtility(IRoutesMapper)
    assert isinstance(mapper, LightRoutesMapper)
    assert app.get("/two").text == "two"
    config.add_route("late", "/late")
    config.add_view(lambda request: "late", route_name="late", renderer="string")
    config.commit()
    assert app.get("/late").text == "late"
    app.get("/nowhere", status=404)
    assert [route.name for route in mapper.get_routes()][-2:] == ["two", "late"]


def test_a_list_that_the_application_changes():
    """Routes put in another order, taken out, and put in by hand count from the next request on."""
    _, mapper = _both(["/{x}", "", "/a"])
    assert _found(mapper, "/a") == ("0", {"x": "a"})
    mapper.routelist.reverse()
    assert _found(mapper, "/a") == ("2", {})
    mapper.routelist = [route for route in mapper.routelist if route.name != "2"]
    assert _found(mapper, "/a") == ("0", {"x": "a"})
    mapper.routelist.insert(0, Route("by hand", "/a"))
    assert _found(mapper, "/a") == ("by hand", {})
    mapper.connect("0", "/a/b")
    assert _found(mapper, "/b") == (None, None)
    assert _found(mapper, "/a/b") == ("0", {})


def test_routes_that_match_in_a_way_of_their_own():
    """A route whose ``match`` is the application's is always asked."""
    mappers = _both(["/a", "/b"])
    for mapper in mappers:
        route = mapper.get_route("0")
        route.match = lambda path, match=route.match: match(path.lower())
    for path in ("/A", "/a", "/b", "/B"):
        assert _found(mappers[1], path) == _found(mappers[0], path)
    assert _found(mappers[1], "/A") == ("0", {})


def test_a_mapper_of_ones_own_stays():
    """What an application does otherwise is left alone."""

    class Own(RoutesMapper):
        """Routes in another way."""

    config = Configurator()
    mapper = Own()
    config.registry.registerUtility(mapper, IRoutesMapper)
    lighten_routes(config.registry)
    assert type(mapper) is Own
