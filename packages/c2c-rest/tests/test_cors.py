"""Who may read an answer: method x origin x credentials x kind of route x status."""

import itertools

import pytest
from cornice import Service
from pyramid.httpexceptions import HTTPBadRequest, HTTPCreated, HTTPFound, HTTPNoContent
from pyramid.response import Response

from c2c_rest import services

PAGE = "https://page.example"
STRANGER = "https://stranger.example"

_STATUSES = [200, 201, 204, 302, 400, 500, "response"]


def _view(request):
    what = request.params.get("what", "200")
    if what == "500":
        raise RuntimeError("oops")
    if what == "response":
        return Response("text")
    raised = {"201": HTTPCreated, "204": HTTPNoContent, "302": lambda: HTTPFound("/there"), "400": HTTPBadRequest}
    if what in raised:
        error = raised[what]()
        raise error
    return {"what": what}


_OPTIONS = {
    "open": {},
    "credentials": {"cors_credentials": True},
    "listed": {"cors_origins": (PAGE,)},
    "listed credentials": {"cors_origins": (PAGE,), "cors_credentials": True},
    "pattern": {"cors_origins": ("https://*.example",)},
    "closed": {"cors_enabled": False},
}


@pytest.fixture(scope="module")
def app():
    """Give an application with a service of each kind, a plain route, and an operator view."""
    from pyramid.config import Configurator
    from webtest import TestApp

    config = Configurator(settings={"c2c.secret": "a secret of an operator"})
    config.include("c2c_rest")
    for kind, options in _OPTIONS.items():
        service = services.create(kind.replace(" ", "_"), "/" + kind.replace(" ", "_"), **options)
        for method in ("GET", "POST", "DELETE"):
            service.add_view(method, _view)
        config.add_cornice_service(service)
    config.add_route("plain", "/plain")
    config.add_view(_view, route_name="plain", renderer="json")
    config.add_operator_view(_view, name="operators", path="/operators", methods=("GET", "POST", "DELETE"))
    return TestApp(config.make_wsgi_app())


def _expected(kind, origin, what):
    """Return what the Fetch standard and the contract want: Allow-Origin, Allow-Credentials."""
    if kind in {"plain", "operators"}:
        # Only what our error view answers has a header, and on operator views nothing has.
        return ("*" if kind == "plain" and what not in {200, "response"} else None), None
    if origin is None or kind == "closed":
        return None, None
    if kind.startswith("listed") and origin != PAGE:
        return None, None
    credentials = "true" if "credentials" in kind else None
    return ("*" if kind == "open" else origin), credentials


_KINDS = [*_OPTIONS, "plain", "operators"]
_TABLE = list(itertools.product(_KINDS, ["GET", "POST", "DELETE"], [None, PAGE, STRANGER], _STATUSES))


def test_the_table_is_large_enough():
    """The table has at least 60 cases."""
    assert len(_TABLE) >= 60


@pytest.mark.parametrize(("kind", "method", "origin", "what"), _TABLE)
def test_who_may_read_the_answer(app, kind, method, origin, what):
    """Answers and errors alike: the service's origins, echoed with credentials; elsewhere errors are for any origin."""
    headers = {"Origin": origin} if origin else {}
    if kind == "operators":
        headers["X-API-Key"] = "a secret of an operator"
    path = "/c2c/operators" if kind == "operators" else f"/{kind.replace(' ', '_')}"
    answer = app.request(f"{path}?what={what}", method=method, headers=headers, expect_errors=True)

    # An origin that is not allowed is refused by cornice, whatever the view would say.
    refused = kind.startswith("listed") and origin == STRANGER
    assert answer.status_int == (400 if refused else 200 if what == "response" else what)
    allowed, credentials = _expected(kind, origin, what)
    assert answer.headers.get("Access-Control-Allow-Origin") == allowed
    if allowed is not None:
        assert answer.headers.get("Access-Control-Allow-Credentials") == credentials
    if kind in _OPTIONS and kind != "closed":
        assert "Origin" in answer.headers.getall("Vary")
    assert len(answer.headers.getall("Access-Control-Allow-Origin")) <= 1
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


_PREFLIGHTS = [
    (kind, method, origin, headers)
    for kind in ("open", "credentials", "listed", "listed credentials", "pattern")
    for method in ("GET", "POST", "DELETE")
    for origin in (PAGE, STRANGER)
    for headers in (None, "x-mine, content-type")
]


@pytest.mark.parametrize(("kind", "method", "origin", "asked"), _PREFLIGHTS)
def test_pre_flights(app, kind, method, origin, asked):
    """A pre-flight allows what the service has, is kept a day by browsers and by caches alike, and varies by origin."""
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    if asked:
        headers["Access-Control-Request-Headers"] = asked
    refused = kind.startswith("listed") and origin == STRANGER
    answer = app.options("/" + kind.replace(" ", "_"), headers=headers, status=400 if refused else 200)
    assert answer.headers.getall("Vary") == ["Origin"]
    if refused:
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "no-cache" in answer.headers["Cache-Control"]
        return
    assert answer.headers["Access-Control-Allow-Origin"] == ("*" if kind == "open" else origin)
    assert answer.headers.get("Access-Control-Allow-Credentials") == ("true" if "credentials" in kind else None)
    assert {"GET", "HEAD", "POST", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(","))
    assert answer.headers["Access-Control-Max-Age"] == "86400"
    assert answer.headers.getall("Cache-Control") == ["max-age=86400"]
    assert "Expires" not in answer.headers
    assert "Pragma" not in answer.headers
    if asked:
        assert set(answer.headers["Access-Control-Allow-Headers"].split(",")) == {"x-mine", "content-type"}


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": PAGE}, {"Access-Control-Request-Method": "GET"}],
)
def test_options_that_are_no_pre_flight(app, headers):
    """OPTIONS without what a pre-flight has is cornice's 400, not kept."""
    answer = app.options("/open", headers=headers, status=400)
    assert "no-cache" in answer.headers["Cache-Control"]


def test_a_pre_flight_for_a_method_that_is_not_there(app):
    """A method that the service has not is refused, and the refusal can be read."""
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "PATCH"}
    answer = app.options("/open", headers=headers, status=400)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json["errors"][0]["description"] == "Method not allowed"


def test_a_method_that_the_service_has_not_is_a_405_with_its_cors(app):
    """A 405 of a service has the service's CORS and Allow, in our shape."""
    answer = app.put("/credentials", headers={"Origin": PAGE}, status=405)
    assert answer.json["status"] == 405
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/nowhere", "/plain"])
def test_options_outside_services(app, path):
    """OPTIONS elsewhere is 200 or what the route's view says, for any origin, without credentials or methods."""
    answer = app.options(
        path + "?what=400", headers={"Origin": PAGE, "Access-Control-Request-Method": "PUT"}, status=200
    )
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Methods" not in answer.headers
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_errors_after_the_view_have_the_cors_of_the_service(make_app):
    """An answer that can't be rendered, an error at commit: the service's headers all the same."""
    service = services.create("late", "/late", cors_credentials=True)
    service.add_view("GET", lambda request: {"x": float("nan")})
    app = make_app(lambda config: config.add_cornice_service(service))
    answer = app.get("/late", headers={"Origin": PAGE}, status=500)
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


def test_the_age_of_a_pre_flight_is_the_services(make_app):
    """Another age, or none, is what the answer to the pre-flight says."""
    ages = {"short": 60, "none": None}

    def configure(config):
        for name, age in ages.items():
            service = services.create(name, f"/{name}", cors_max_age=age)
            service.add_view("GET", _view)
            config.add_cornice_service(service)

    app = make_app(configure)
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
    assert app.options("/short", headers=headers).headers["Cache-Control"] == "max-age=60"
    answer = app.options("/none", headers=headers)
    assert "Access-Control-Max-Age" not in answer.headers
    assert "no-cache" in answer.headers["Cache-Control"]


def test_a_vary_of_the_view_is_completed(make_app):
    """What the view says the answer varies by stays."""
    varies = {"Accept": "Accept, Origin", "Cookie, origin": "Cookie, origin", "*": "*"}

    def view(request):
        request.response.headers["Vary"] = request.params["vary"]
        return {}

    service = Service("varying", "/varying", cors_origins=("*",), renderer="json")
    service.add_view("GET", view)
    app = make_app(lambda config: config.add_cornice_service(service))
    for given, expected in varies.items():
        assert app.get("/varying", {"vary": given}).headers.getall("Vary") == [expected]
