import importlib
from pathlib import Path

import pytest
from cornice import Service
from cornice.resource import add_resource
from cornice.validators import extract_cstruct
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from webtest import TestApp

from c2c_rest import services

PAGE = "https://page.example"


@pytest.fixture
def scanned(monkeypatch):
    """Give a module of services."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return importlib.import_module("scanned_services")


def test_a_service_is_found_where_it_is_written(make_app, scanned):
    """config.scan of the module that creates services finds them, and their defaults are there."""
    app = make_app(lambda config: config.scan("scanned_services"))
    answer = app.get("/hello", headers={"Origin": PAGE})
    assert answer.text == '{\n  "hello": true\n}'
    assert "no-cache" in answer.headers["Cache-Control"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_service_is_cornices(scanned):
    """What create returns is a service of cornice, with these defaults."""
    service = scanned.hello
    assert isinstance(service, Service)
    assert service.cors_origins == ["*"]
    assert service.cors_max_age == 86400
    assert service.renderer == "fast_json"
    assert service.arguments["http_cache"] == 0


def test_a_policy_wins_over_the_defaults(make_app, scanned):
    """Members of cors_policy, by keyword or position, are not overruled by the defaults."""
    assert scanned.described.description == "A description"
    assert scanned.described.cors_origins == [PAGE]
    service = services.create("policy", "/policy", cors_policy={"max_age": 3})
    assert (service.cors_max_age, service.cors_origins) == (3, ["*"])
    app = make_app(lambda config: config.scan("scanned_services"))
    app.get("/described", headers={"Origin": "https://stranger.example"}, status=400)


def test_arguments_win_over_the_defaults():
    """What is given wins."""
    service = services.create("own", "/own", cors_origins=(PAGE,), renderer="string", http_cache=60, cors_max_age=1)
    assert service.cors_origins == [PAGE]
    assert service.renderer == "string"
    assert (service.arguments["http_cache"], service.cors_max_age) == (60, 1)


def test_depth_is_counted_from_the_caller(scanned):
    """A function that creates services for its caller says depth=2, and the service is the caller's."""
    service = scanned.create_for("mine")
    service.add_view("GET", lambda request: {})
    config = Configurator()
    config.include("c2c_rest")
    # Found in this module, not in the one that defines the helper.
    config.scan("scanned_services")
    config.commit()
    assert "/mine" not in config.registry.cornice_services


def test_an_existing_route(make_app):
    """A service may be put on a route that is there."""
    service = services.create("routed", pyramid_route="the_route")
    service.add_view("GET", lambda request: {"id": request.matchdict["id"]})

    def configure(config):
        config.add_route("the_route", "/things/{id}")
        config.add_cornice_service(service)

    answer = make_app(configure).get("/things/3", headers={"Origin": PAGE})
    assert answer.json == {"id": "3"}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def _refuse(request, **_keywords):
    request.errors.add("body", "name", "is missing")


@pytest.mark.parametrize("renderer", ["fast_json", "json", "cornice_json", "cornice_fast_json", "cornicejson"])
def test_validation_errors_are_cornices(make_app, renderer):
    """Errors that validators add are cornice's 400, with every renderer, with CORS."""
    service = services.create("validated", "/validated", renderer=renderer)
    service.add_view("POST", lambda request: {}, validators=(_refuse,))
    app = make_app(lambda config: config.add_cornice_service(service))
    answer = app.post_json("/validated", {}, headers={"Origin": PAGE}, status=400)
    errors = [{"location": "body", "name": "name", "description": "is missing"}]
    assert answer.json == {"status": "error", "errors": errors}
    assert answer.content_type == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("renderer", ["fast_json", "json", "cornice_json"])
def test_what_cornice_raises_is_json_with_its_errors(make_app, records, renderer):
    """A body or an answer of the wrong type is cornice's 415 or 406 in our shape, its errors beside."""
    service = services.create("typed", "/typed", renderer=renderer)
    service.add_view("POST", lambda request: {}, content_type="application/json", accept="application/json")
    app = make_app(lambda config: config.add_cornice_service(service))
    body = app.post("/typed", "x", content_type="text/plain", status=415).json
    assert body["status"] == 415
    assert body["message"].startswith("Content-Type: Content-Type header should be one of")
    assert body["errors"][0]["location"] == "header"
    assert records.only().message.endswith(body["message"])
    assert app.post_json("/typed", {}, headers={"Accept": "text/plain"}, status=406).json["status"] == 406


def test_filters_are_applied(make_app):
    """Filters change the answer."""

    def stamp(response, request):
        response.headers["X-Filtered"] = request.current_service.name
        return response

    stamped = services.create("stamped", "/stamped", filters=(stamp,))
    stamped.add_view("GET", lambda request: {"long": "x" * 1000})
    app = make_app(lambda config: config.add_cornice_service(stamped))
    assert app.get("/stamped").headers["X-Filtered"] == "stamped"


def test_validators_and_classes(make_app):
    """Validators hand data over, services may be classes: cornice's features are all there."""

    def accept(request, **_keywords):
        request.validated["name"] = extract_cstruct(request)["body"]["name"]
        request.info["seen"] = True

    class Thing:
        def __init__(self, request, context=None):
            self.request = request

        def collection_get(self):
            return {"things": []}

        def get(self):
            return {"thing": self.request.matchdict["id"], "service": self.request.current_service.name}

    service = services.create("validating", "/validating")
    service.add_view("POST", lambda request: {**request.validated, **request.info}, validators=(accept,))
    resource = add_resource(Thing, collection_path="/things", path="/things/{id}", name="thing")

    def configure(config):
        config.add_cornice_service(service)
        config.add_cornice_resource(resource)

    app = make_app(configure)
    body = app.post_json("/validating", {"name": "x"}).json
    assert (body["name"], body["seen"]) == ("x", True)
    assert app.get("/things").json == {"things": []}
    assert app.get("/things/3").json == {"thing": "3", "service": "thing"}


def test_sub_requests_of_services(make_app):
    """A sub-request made by hand reaches a service: it has what cornice needs, with and without tweens."""
    inner = services.create("inner", "/inner")
    inner.add_view("GET", lambda request: {"validated": request.validated})
    outer = services.create("outer", "/outer")

    def ask(request):
        tweens = "tweens" in request.params
        return request.invoke_subrequest(Request.blank("/inner", headers={"Origin": PAGE}), use_tweens=tweens)

    outer.add_view("GET", ask)

    def configure(config):
        config.add_cornice_service(inner)
        config.add_cornice_service(outer)

    app = make_app(configure)
    for url in ("/outer", "/outer?tweens=1"):
        assert app.get(url).json == {"validated": {}}


def test_a_plain_request_has_cornices_attributes(make_app):
    """Views that are no services find what cornice gives to all requests; every answer forbids sniffing."""

    def view(request):
        return {"errors": len(request.errors), "validated": request.validated, "service": request.current_service}

    def configure(config):
        config.add_route("plain", "/plain")
        config.add_view(view, route_name="plain", renderer="json")

    answer = make_app(configure).get("/plain")
    assert answer.json == {"errors": 0, "validated": {}, "service": None}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


class _OwnRequest(Request):
    """An application's request class."""

    validated = "mine"

    def hello(self):
        """Say something."""
        return "hello"


def test_an_own_request_class_and_request_methods(make_app):
    """The application's request class, properties and callbacks work with it, and win."""
    order = []

    def view(request):
        request.add_response_callback(
            lambda request, response: order.append(response.headers["X-Content-Type-Options"])
        )
        return {
            "hello": request.hello(),
            "validated": request.validated,
            "errors": request.errors,
            "twice": request.twice,
        }

    def configure(config):
        config.set_request_factory(_OwnRequest)
        config.add_request_method(lambda request: 2, "twice", reify=True)
        config.add_request_method(lambda request: "own", "errors", property=True)
        config.add_route("plain", "/plain")
        config.add_view(view, route_name="plain", renderer="json")

    app = make_app(configure)
    for _ in range(2):
        assert app.get("/plain").json == {"hello": "hello", "validated": "mine", "errors": "own", "twice": 2}
    assert order == ["nosniff", "nosniff"]


def test_errors_of_a_service_know_the_language(make_app):
    """With the setting available_languages, validation errors are translated, as cornice documents."""
    service = services.create("language", "/language")
    service.add_view("GET", lambda request: {"locale": request.errors.localizer.locale_name})
    app = make_app(lambda config: config.add_cornice_service(service))
    # Cornice wants colander for this setting at start-up.
    app.app.registry.settings["available_languages"] = "en fr"
    assert app.get("/language").json == {"locale": "en"}


@pytest.mark.parametrize(
    "order", ["before", "after", "before, exceptions", "before, exceptions, committed", "after a commit", "twice"]
)
def test_an_application_that_includes_cornice_itself(order):
    """An application that includes cornice by itself, before or after, keeps its services, and our error views."""
    settings = {} if "exceptions" in order else {"handle_exceptions": "false"}
    config = Configurator(settings=settings)
    service = services.create("both", "/both")
    service.add_view("GET", lambda request: Response("x") if "ok" in request.params else 1 / 0)
    if order.startswith("before"):
        config.include("cornice")
    if order in {"before", "before, exceptions, committed"}:
        config.commit()
    config.include("c2c_rest")
    config.add_cornice_service(service)
    if order == "after a commit":
        config.commit()
        config.include("c2c_rest")
    if order in {"after", "twice"}:
        config.include("cornice")
        config.include("c2c_rest")
    app = TestApp(config.make_wsgi_app())
    answer = app.get("/both", headers={"Origin": PAGE}, status=500)
    assert answer.json == {"message": "division by zero", "status": 500}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert app.get("/both?ok", headers={"Origin": PAGE}).headers.getall("Access-Control-Allow-Origin") == ["*"]


def test_cornice_costs_a_request_no_class_and_no_events(make_app):
    """Cornice's attributes are on one class, and Pyramid has nobody to notify; what they hold is of one request."""
    classes = []

    def noted(request):
        classes.append(type(request))
        request.validated["x"] = request.info["x"] = 1
        return {"seen": len(request.validated), "service": request.current_service.name, "wrong": len(request.errors)}

    service = services.create("noted", "/noted")
    service.add_view("GET", noted)
    app = make_app(lambda config: config.add_cornice_service(service))
    for _ in range(2):
        answer = app.get("/noted")
        assert answer.json == {"seen": 1, "service": "noted", "wrong": 0}
        assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
    assert classes[0] is classes[1]
    assert not app.app.registry.has_listeners


def test_two_applications_in_one_process(make_app):
    """Two applications have their own services and settings."""
    first = services.create("first", "/first")
    first.add_view("GET", lambda request: {"a": 1})
    one = make_app(lambda config: config.add_cornice_service(first), {"c2c.json.pretty_print": "false"})
    other = make_app()
    assert one.get("/first").text == '{"a":1}'
    assert other.get("/first", status=404).json["status"] == 404
