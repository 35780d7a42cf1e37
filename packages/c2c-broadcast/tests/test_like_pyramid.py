"""An application with all that Pyramid can do says and hears the same with light requests and without."""

from pathlib import Path

from pyramid.config import Configurator
from pyramid.events import (
    ApplicationCreated,
    BeforeRender,
    BeforeTraversal,
    ContextFound,
    NewRequest,
    NewResponse,
)
from pyramid.interfaces import IRequest, IRoutesMapper
from pyramid.request import Request, apply_request_extensions
from pyramid.response import Response
from pyramid.view import view_config, view_defaults
from webtest import TestApp
from zope.interface import Interface, alsoProvides, implementer

SWITCH = {True: {}, False: {"c2c.light_requests": "off"}}


class OwnRequest(Request):
    """A request factory."""

    from_factory = "factory"


class TwiceRequest(NewRequest):
    """An application's own kind of Pyramid's event."""


class Told:
    """An application's own event."""


class IMarked(Interface):
    """What a view is found by."""


class ByHeader:
    """A predicate, of subscribers and routes."""

    def __init__(self, value, info):  # Pyramid's signature
        self.value = value

    def text(self):
        """Say what it is."""
        return f"by_header = {self.value}"

    phash = text

    def __call__(self, *arguments):
        """Tell whether the request has the header."""
        request = arguments[-1] if len(arguments) > 1 else arguments[0].request
        return request.headers.get("X-By") == self.value


class WordIs(ByHeader):
    """A predicate of routes that looks at what was matched."""

    def __call__(self, info, _request):
        """Tell whether it is this word."""
        return info["match"]["word"] == self.value


@implementer(Interface)
class Root(dict):
    """A root that is traversed."""

    def __init__(self, request):
        super().__init__(leaf={"deep": {}}, who=request.method)


def _property():
    def get(request):
        return request.environ.get("test.value", "unset")

    def put(request, value):
        request.environ["test.value"] = value

    return property(get, put)


def _show(request):
    request.value = request.value + "!"
    return {
        "twice": request.twice,
        "again": request.twice,
        "plain": request.plain,
        "value": request.value,
        "said": request.say("well"),
        "class": (type(request).__name__, type(request).__module__),
        "is": (isinstance(request, OwnRequest), IRequest.providedBy(request)),
        "route": request.matched_route and request.matched_route.name,
        "match": request.matchdict and {key: str(value) for key, value in request.matchdict.items()},
        "context": type(request.context).__name__,
        "late": getattr(request, "late", None),
        "set": getattr(request, "set_once", None),
    }


def _sub(request):
    request.set_property(lambda _request: "mine", "set_once")
    request.set_property(lambda _request: "covered", "plain")
    copy = request.copy_get()
    copy.path_info = "/plain/7"
    copy.environ["test.value"] = "copied"
    other = Request.blank("/one/two")
    answers = [
        request.invoke_subrequest(copy, use_tweens="tweens" in request.params),
        request.invoke_subrequest(other, use_tweens=True),
    ]
    return [request.set_once, request.plain, copy.twice, *(answer.json for answer in answers)]


def _replace_request(handler, _registry):
    def tween(request):
        if "replace" in request.params:
            other = request.copy()
            for name in ("registry", "invoke_subrequest"):
                setattr(other, name, getattr(request, name))
            apply_request_extensions(other)
            alsoProvides(other, IMarked)
            request = other
        response = handler(request)
        response.headers["X-Tween"] = f"{type(request).__name__} {request.twice}"
        return response

    return tween


@view_defaults(route_name="class", renderer="json")
class ViewClass:
    """A view."""

    def __init__(self, context, request):
        self.request = request

    @view_config()
    def __call__(self):
        """Show."""
        return _show(self.request)


def _error(error, request):
    return Response(json_body=[type(error).__name__, str(error), request.twice, request.path], status=500)


def _not_found(request):
    return Response(json_body=["nowhere", request.plain], status=404)


def _raise(request):
    raise ValueError(request.twice)


def _routes(config):
    config.add_route("plain", "/plain/{number:\\d+}")
    config.add_route("by", "/plain/{word}", by_header="a")
    config.add_route("custom", "/plain/{word}", word_is="custom")
    config.add_route("post", "/plain/{word}", request_method="POST", factory=Root)
    config.add_route("star", "/one*rest")
    config.add_route("braces", "/{first}x/y")
    config.add_route("old", ":first/old")
    config.add_route("slash", "/slash/")
    config.add_route("class", "/class", pregenerator=lambda _request, elements, kw: (("more", *elements), kw))
    config.add_route("error", "/error")
    config.add_route("sub", "/sub")
    config.add_route("traverse", "/tree/{name}", traverse="/{name}", factory=Root)
    config.add_route("hybrid", "/hybrid/*traverse", factory=Root)
    config.add_route("outside", "https://elsewhere.example/{name}")
    config.add_static_view("files", str(Path(__file__).parent), cache_max_age=60)
    for name in ("plain", "by", "custom", "post", "star", "braces", "old", "slash", "traverse", "hybrid"):
        config.add_view(_show, route_name=name, renderer="json")
    config.add_view(
        lambda request: {"marked": _show(request)}, route_name="plain", request_type=IMarked, renderer="json"
    )
    config.add_view(ViewClass, route_name="class", renderer="json")
    config.add_view(_raise, route_name="error")
    config.add_view(_sub, route_name="sub", renderer="json")


def _application(*, light):
    """Return an application with something of all that Pyramid can do, and the events that were heard."""
    heard = []
    config = Configurator(settings=SWITCH[light], request_factory=OwnRequest, root_factory=Root)
    config.include("c2c_broadcast")
    config.add_subscriber_predicate("by_header", ByHeader)
    config.add_route_predicate("by_header", ByHeader)
    config.add_route_predicate("word_is", WordIs)
    for event in (ApplicationCreated, NewRequest, BeforeTraversal, ContextFound, NewResponse, Told, TwiceRequest):
        config.add_subscriber(lambda event, kind=event.__name__: heard.append((kind, type(event).__name__)), event)
    config.add_subscriber(lambda _event: heard.append("by header"), NewRequest, by_header="a")
    config.add_subscriber(lambda _event, thing: heard.append(("two", type(thing).__name__)), (NewRequest, Told))
    config.add_subscriber(lambda event: event.update(rendered=event["request"].twice), BeforeRender)
    config.add_request_method(lambda request: [getattr(request, "from_factory", None)] * 2, "twice", reify=True)
    config.add_request_method(lambda request: request.method, "plain", property=True)
    config.add_request_method(_property(), "value", property=True)
    config.add_request_method(lambda request, word: f"{word} {request.plain}", "say")
    config.add_tween(f"{__name__}._replace_request")
    config.add_exception_view(_error, context=ValueError)
    config.add_notfound_view(_not_found, append_slash=True)
    config.include(_routes)
    with config.route_prefix_context("api"):
        config.add_route("prefixed", "/{first}/x")
        config.add_route("root", "", inherit_slash=True)
    for name in ("prefixed", "root"):
        config.add_view(_show, route_name=name, renderer="json")
    return config, TestApp(config.make_wsgi_app()), heard


_ASKED = [
    *(("GET", path) for path in ("/plain/7", "/plain/7?replace", "/plain/custom", "/plain/none", "/one", "/one/2/3")),
    *(
        ("GET", path)
        for path in ("/ax/y", "/%C3%A9/old", "/slash", "/slash/", "/class", "/error", "/error?replace", "/")
    ),
    *(("GET", path) for path in ("/sub", "/sub?tweens", "/sub?replace", "/tree/leaf", "/hybrid/leaf/deep", "/leaf")),
    *(
        ("GET", path)
        for path in ("/files/conftest.py", "/files/nothing", "/api", "/api/a/x", "/api/", "/a%0A", "//", "")
    ),
    ("POST", "/plain/word"),
    ("HEAD", "/plain/7"),
    ("GET", "/%ff"),
    ("GET", "/outside"),
]


def _transcript(light):
    config, app, heard = _application(light=light)
    found = []

    def ask(method, path, **headers):
        try:
            answer = app.request(path, method=method, headers=headers, expect_errors=True)
        except UnicodeDecodeError as error:
            found.append((path, repr(error)))
        else:
            kept = {name: value for name, value in answer.headers.items() if name not in {"Last-Modified", "Expires"}}
            found.append((method, path, headers, answer.status, kept, answer.text))

    for method, path in _ASKED:
        ask(method, path)
    ask("GET", "/plain/word", **{"X-By": "a"})
    registry = config.registry
    request = OwnRequest.blank("/")
    for events in ((Told(),), (TwiceRequest(request),), (NewRequest(request), Told()), (NewRequest(request),)):
        registry.notify(*events)
    # What comes when the application is at work.
    config.add_request_method(lambda request: ["late", request.twice], "late", property=True)
    config.add_request_method(lambda _request: "new", "plain", property=True)
    config.add_subscriber(lambda event: heard.append("late"), NewResponse)
    config.add_route("late", "/late")
    config.add_view(_show, route_name="late", renderer="json")
    config.commit()
    for method, path in (("GET", "/late"), ("GET", "/plain/7"), ("GET", "/sub")):
        ask(method, path)
    request = Request.blank("/")
    request.registry = registry
    found.append(request.route_path("class", _query={"a": 1}))
    found.append([route.name for route in registry.getUtility(IRoutesMapper).get_routes(include_static=True)])
    found.append(
        sorted(one["introspectable"].discriminator for one in config.introspector.get_category("request extensions"))
    )
    return found, heard


def test_the_same_is_said_and_heard():
    """Routes, views, properties, sub-requests, events, tweens, static files and errors: with the switch on or off."""
    (on, heard_on), (off, heard_off) = _transcript(light=True), _transcript(light=False)
    for ours, theirs in zip(on, off, strict=True):
        assert ours == theirs
    assert heard_on == heard_off
    # A path that is no UTF-8 is an error, all else is answered.
    answered = {entry[1]: entry[3][:3] for entry in on if entry[0] in {"GET", "HEAD", "POST"}}
    assert [entry for entry in on if entry[0] == "/%ff"]
    assert set(answered) == {path for _, path in _ASKED} - {"/%ff"} | {"/late", "/plain/word"}
    assert set(answered.values()) == {"200", "307", "404", "500"}
    assert {"by header", "late", ("two", "Told"), ("TwiceRequest", "TwiceRequest")} <= set(heard_on)
