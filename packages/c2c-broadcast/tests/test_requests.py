"""Attributes of requests: on one class, whatever the application's factory is."""

import pytest
from pyramid.config import Configurator
from pyramid.decorator import reify
from pyramid.request import Request
from webtest import TestApp


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
