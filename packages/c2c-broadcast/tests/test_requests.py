"""Attributes of requests: on one class, whatever the application's factory is."""

import pytest
from pyramid.config import Configurator
from pyramid.decorator import reify
from pyramid.events import NewRequest
from pyramid.request import Request
from webtest import TestApp

from c2c_broadcast.requests import include_light


@reify
def answer(_request):
    """Return 42, once."""
    return 42


class OwnRequest(Request):
    """An application's own."""

    mine = "own"


def _factory(environ):
    return Request(environ)


def make(before=None, after=None):
    """Make an application whose view shows the attributes and the class."""
    config = Configurator()
    if before is not None:
        before(config)
    config.include("c2c_broadcast")
    config.add_request_attribute("answer", answer)
    config.add_request_attribute("mine", "ours")
    config.add_request_attribute("twice", lambda request: request.answer * 2)
    classes = []

    def view(request):
        classes.append(type(request))
        return {
            "answer": request.answer,
            "mine": request.mine,
            "twice": request.twice(),
            "late": getattr(request, "late", None),
        }

    config.add_route("x", "/x")
    config.add_view(view, route_name="x", renderer="json")
    if after is not None:
        after(config)
    return TestApp(config.make_wsgi_app()), classes


def test_one_class_for_all_requests():
    """No class is made for a request."""
    app, classes = make()
    assert [app.get("/x").json for _ in range(2)] == [{"answer": 42, "mine": "ours", "twice": 84, "late": None}] * 2
    assert classes[0] is classes[1]
    assert issubclass(classes[0], Request)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_applications_own_class(when):
    """It is the base of the class, and what it has itself wins."""
    app, classes = make(**{when: lambda config: config.set_request_factory(OwnRequest)})
    assert app.get("/x").json["mine"] == "own"
    assert issubclass(classes[0], OwnRequest)


def test_an_applications_own_function():
    """Pyramid adds them, then."""
    app, _ = make(before=lambda config: config.set_request_factory(_factory))
    assert app.get("/x").json == {"answer": 42, "mine": "ours", "twice": 84, "late": None}


def test_an_attribute_that_comes_after_the_commit():
    """It is there too."""

    def later(config):
        config.commit()
        config.add_request_attribute("late", "yes")

    app, _ = make(after=later)
    assert app.get("/x").json["late"] == "yes"


def test_properties_of_pyramid_stay():
    """What the application adds by Pyramid's own method is there as ever."""
    app, _ = make(after=lambda config: config.add_request_method(lambda request: "added", "late", reify=True))
    assert app.get("/x").json["late"] == "added"


def test_no_subscriber_of_ours():
    """Pyramid does not notify its events in each request because of the base."""
    app, _ = make()
    assert not app.app.registry.has_listeners


def _library(config):
    config.add_request_method(lambda request: [request.path], "tm", reify=True)
    config.add_request_method(lambda request: request.path, "spoken")
    config.add_subscriber(_hears, NewRequest)


def _hears(event):
    raise AssertionError(event)


def test_a_library_of_others_costs_no_class():
    """Its reified property is on our class, kept per request; a subscriber that is left out is not there."""
    config = Configurator()
    config.include("c2c_broadcast")
    include_light(config, _library, without=(_hears,))
    classes = []

    def view(request):
        classes.append(type(request))
        return {"tm": request.tm, "once": request.tm is request.tm, "spoken": request.spoken()}

    config.add_route("x", "/x")
    config.add_view(view, route_name="x", renderer="json")
    app = TestApp(config.make_wsgi_app())
    assert [app.get("/x").json for _ in range(2)] == [{"tm": ["/x"], "once": True, "spoken": "/x"}] * 2
    assert classes[0] is classes[1]
    assert not app.app.registry.has_listeners


def test_a_library_that_the_application_has_included():
    """It is left as the application has it; and where it comes later, it is not included again."""
    config = Configurator()
    config.include("c2c_broadcast")
    config.include(_counted)
    include_light(config, _counted)
    config.include(_counted)
    assert config.registry["counted"] == 1


def _counted(config):
    config.registry["counted"] = config.registry.get("counted", 0) + 1


@pytest.mark.parametrize("use_tweens", [True, False])
def test_a_sub_request_made_by_hand(use_tweens):
    """A request of Pyramid's own class, as its documentation makes them for sub-requests, has the attributes too."""

    def outer(config):
        config.add_route("outer", "/outer")
        config.add_view(
            lambda request: request.invoke_subrequest(Request.blank("/x"), use_tweens=use_tweens), route_name="outer"
        )

    app, classes = make(after=outer)
    assert app.get("/outer").json == {"answer": 42, "mine": "ours", "twice": 84, "late": None}
    assert not hasattr(Request, "answer")
    assert len(classes) == 1
