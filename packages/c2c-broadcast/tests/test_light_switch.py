"""Light requests switched on and off, and where they must not be in the way."""

import gc
import weakref

from pyramid import testing
from pyramid.config import Configurator
from pyramid.interfaces import IRequestExtensions, IRoutesMapper
from pyramid.registry import Registry
from pyramid.request import Request, apply_request_extensions
from pyramid.response import Response
from pyramid.urldispatch import RoutesMapper
from webtest import TestApp

from c2c_broadcast import add_request_attributes
from c2c_broadcast._light_routes import LightRoutesMapper

SWITCH = {True: {}, False: {"c2c.light_requests": "off"}}


class Told:
    """An application's own event."""


def _classes_of_two_requests(config):
    seen = []
    config.add_route("seen", "/seen")
    config.add_view(lambda request: Response(str(seen.append(type(request)))), route_name="seen")
    app = TestApp(config.make_wsgi_app())
    app.get("/seen")
    app.get("/seen")
    return seen


def _configured(*, light, **options):
    config = Configurator(settings=SWITCH[light], **options)
    config.include("c2c_broadcast")
    config.add_request_method(lambda _request: 1, "one", reify=True)
    return config


def test_off_leaves_all_to_pyramid():
    """Without it nothing of Pyramid's is another: its mapper, its registry, its extensions, a class a request."""
    off, on = _configured(light=False), _configured(light=True)
    first, second = _classes_of_two_requests(off)
    assert first is not second
    assert type(off.registry.getUtility(IRoutesMapper)) is RoutesMapper
    assert off.registry.notify.__func__ is Registry.notify
    extensions = off.registry.queryUtility(IRequestExtensions)
    assert list(extensions.descriptors) == ["one"]
    assert not extensions.methods
    # The same application where it is on: this test would see a difference.
    first, second = _classes_of_two_requests(on)
    assert first is second
    assert type(on.registry.getUtility(IRoutesMapper)) is LightRoutesMapper
    assert not on.registry.queryUtility(IRequestExtensions).descriptors


def test_attributes_of_packages_without_it():
    """What packages put on requests is there, on classes that Pyramid makes."""
    config = _configured(light=False)
    add_request_attributes(config.registry, lambda _cls: {"brought": property(lambda request: [request.one])})
    add_request_attributes(config.registry, lambda _cls: {"one": 2})
    first, second = _classes_of_two_requests(config)
    assert first is not second
    request = Request.blank("/")
    request.registry = config.registry
    apply_request_extensions(request)
    assert request.brought == [1]


def test_attributes_in_a_unit_test():
    """``pyramid.testing.setUp`` commits each statement at once: attributes and properties are there nevertheless."""
    config = testing.setUp()
    try:
        config.include("c2c_broadcast")
        add_request_attributes(config.registry, lambda _cls: {"brought": property(lambda _request: "here")})
        config.add_request_method(lambda _request: "too", "late", property=True)
        config.add_route("one", "/one/{two}")
        config.add_route("two", "/two")
        config.add_view(
            lambda request: [request.brought, request.late, request.route_path("two")],
            route_name="one",
            renderer="json",
        )
        assert TestApp(config.make_wsgi_app()).get("/one/1").json == ["here", "too", "/two"]
        dummy = testing.DummyRequest()
        dummy.registry = config.registry
        apply_request_extensions(dummy)
        assert (dummy.brought, dummy.late, isinstance(dummy, testing.DummyRequest)) == ("here", "too", True)
    finally:
        testing.tearDown()


def test_attributes_that_come_after_requests():
    """A package that is included when the application has answered already has its attributes on the next request."""
    config = _configured(light=True)
    assert not hasattr(_classes_of_two_requests(config)[0], "brought")
    add_request_attributes(config.registry, lambda _cls: {"brought": "late"})
    config.commit()
    assert _classes_of_two_requests(config)[0].brought == "late"


def test_two_applications_and_a_request_of_both():
    """Applications of one process do not share classes; a copy of one's request gets what the other's have, too."""
    configs = [_configured(light=light) for light in (True, True, False)]
    for number, config in enumerate(configs):
        config.add_request_method(lambda _request, number=number: number, f"number{number}", property=True)
        config.add_request_method(lambda _request, number=number: number, "number", property=True)
        config.make_wsgi_app()
    requests = []
    for config in configs:
        request = requests[-1].copy() if requests else Request.blank("/")
        request.registry = config.registry
        apply_request_extensions(request)
        requests.append(request)
    assert [request.number for request in requests] == [0, 1, 2]
    assert (requests[2].number0, requests[2].number1, requests[2].number2) == (0, 1, 2)
    assert not hasattr(requests[0], "number1")


def test_classes_of_single_requests_are_not_kept():
    """A property set on one request, then copied into a sub-request, leaves nothing behind."""
    config = _configured(light=True)
    config.make_wsgi_app()
    left = []
    for _ in range(100):
        request = Request.blank("/")
        request.registry = config.registry
        apply_request_extensions(request)
        request.set_property(lambda _request: "own", "own")
        copy = request.copy()
        copy.registry = config.registry
        apply_request_extensions(copy)
        assert (copy.own, copy.one) == ("own", 1)
        left += [weakref.ref(type(request)), weakref.ref(type(copy))]
    del request, copy
    gc.collect()
    assert not [one for one in left if one() is not None]


class OwnRegistry(Registry):
    """A registry that counts."""

    notified = 0

    def notify(self, *events):
        """Count."""
        self.notified += 1
        super().notify(*events)


def test_a_registry_that_notifies_in_a_way_of_its_own():
    """Every event of every request goes through it."""
    registry = OwnRegistry("own")
    config = Configurator(registry=registry)
    config.setup_registry()
    config.include("c2c_broadcast")
    config.add_subscriber(lambda _event: None, Told)
    assert registry.notified == 0
    _classes_of_two_requests(config)
    assert registry.notified == 1 + 2 * 4
