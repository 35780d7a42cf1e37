"""Requests are light, and nobody can tell."""

import pytest
from pyramid.config import Configurator
from pyramid.events import ApplicationCreated, BeforeRender, NewRequest, NewResponse
from pyramid.interfaces import INewRequest, IRequest, IRequestExtensions
from pyramid.request import Request, apply_request_extensions
from webtest import TestApp
from zope.interface import Attribute, Interface, providedBy

from c2c_broadcast import add_request_attributes


class Told:
    """An application's own event."""


def _config():
    config = Configurator()
    config.include("c2c_broadcast")
    config.add_route("hello", "/hello")
    return config


def _view(request):
    return {"twice": request.twice, "class": type(request).__name__, "is": IRequest.providedBy(request)}


def _with_property():
    config = _config()
    counted = []
    config.add_request_method(lambda request: counted.append(1) or len(counted), "twice", reify=True)
    config.add_view(_view, route_name="hello", renderer="json")
    return config


def test_one_class_serves_all_requests():
    """A property that the application added is there, made anew for each request, on one class."""
    classes = []
    config = _with_property()
    config.add_view(
        lambda request: classes.append(type(request)) or _view(request),
        route_name="hello",
        renderer="json",
        request_param="own",
    )
    app = TestApp(config.make_wsgi_app())
    assert app.get("/hello").json == {"twice": 1, "class": "Request", "is": True}
    assert app.get("/hello").json["twice"] == 2
    app.get("/hello?own")
    app.get("/hello?own")
    assert classes[0] is classes[1]
    assert issubclass(classes[0], Request)
    assert providedBy(classes[0]({})) == providedBy(Request({}))
    assert not app.app.registry.queryUtility(IRequestExtensions).descriptors


def test_subrequests_and_copies_have_the_properties():
    """Requests that others made get the same, a copy of one that has it too, and its class does not grow."""
    config = _with_property()
    config.add_request_method(lambda request, word: f"{word} {request.twice}", "say")
    registry = config.make_wsgi_app().registry
    request = Request.blank("/hello")
    request.registry = registry
    apply_request_extensions(request)
    assert request.say("it is") == "it is 1"
    copy = request.copy()
    copy.registry = registry
    apply_request_extensions(copy)
    assert copy.twice == 2
    assert type(copy) is type(request)
    copy.set_property(lambda _request: "other", "once")
    assert (copy.once, copy.twice, hasattr(request, "once")) == ("other", 2, False)


def test_a_property_added_later_is_there_too():
    """What is configured after the first commit works as Pyramid does it."""
    config = _with_property()
    config.make_wsgi_app()
    config.add_request_method(lambda _request: "late", "late", property=True)
    config.add_request_method(lambda _request: "new", "twice", property=True)
    config.commit()
    request = Request.blank("/")
    request.registry = config.registry
    apply_request_extensions(request)
    assert (request.late, request.twice) == ("late", "new")


def test_attributes_of_packages():
    """A package's attributes are on the class, under the application's; read once, of two registrations one counts."""
    config = _with_property()
    asked = []

    def attributes(cls):
        asked.append(cls)
        return {"brought": property(lambda request: request.method), "twice": property(lambda _request: "not this")}

    for _ in range(2):
        add_request_attributes(config.registry, attributes)
    config.add_view(
        lambda request: [request.brought, request.twice], route_name="hello", renderer="json", request_method="POST"
    )
    app = TestApp(config.make_wsgi_app())
    for turn in (1, 2):
        assert app.post("/hello").json == ["POST", turn]
    assert asked == [Request]


def test_events_that_nobody_hears_are_not_sent():
    """Subscribers to other events, the application's too, are told as ever; requests look for none."""
    heard, asked = [], []
    config = _with_property()
    config.add_subscriber(heard.append, ApplicationCreated)
    config.add_subscriber(heard.append, Told)
    application = config.make_wsgi_app()
    registry = application.registry
    look = registry.subscribers
    registry.subscribers = lambda *arguments: asked.append(arguments) or look(*arguments)
    TestApp(application).get("/hello")
    assert not asked
    told = Told()
    registry.notify(told)
    assert asked == [((told,), None)]
    assert [type(event) for event in heard] == [ApplicationCreated, Told]
    assert heard[1] is told
    config.make_wsgi_app()  # a second one says so, too
    assert type(heard[2]) is ApplicationCreated


class INamed(Interface):
    """Something else than an event of Pyramid's."""

    name = Attribute("its name")


@pytest.mark.parametrize("kind", [NewRequest, INewRequest, NewResponse, BeforeRender, Interface, None])
def test_events_that_somebody_hears_are_sent(kind):
    """Whatever way a subscriber asks for the events of requests, it is told of each."""
    heard = []
    config = _with_property()
    config.add_subscriber(heard.append, kind)
    config.add_subscriber(heard.append, INamed)
    app = TestApp(config.make_wsgi_app())
    heard.clear()
    app.get("/hello")
    first = len(heard)
    app.get("/hello")
    assert len(heard) == 2 * first > 0


def test_a_subscriber_that_comes_late_is_told():
    """One that is added when the application runs hears the next request."""
    heard = []
    config = _with_property()
    app = TestApp(config.make_wsgi_app())
    app.get("/hello")
    config.add_subscriber(heard.append, NewRequest)
    config.commit()
    app.get("/hello")
    assert [type(event) for event in heard] == [NewRequest]
