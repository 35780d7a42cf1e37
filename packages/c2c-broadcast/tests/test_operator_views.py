"""Operator views and sections: closed by default, never cached, and a conflict is told."""

import logging

import pytest
from pyramid.config import Configurator
from pyramid.exceptions import ConfigurationConflictError
from pyramid.httpexceptions import HTTPFound, HTTPNotFound
from pyramid.request import Request
from webtest import TestApp

from c2c_broadcast import ConfigurationError, Link, Live, Section, masker_of, sections

SECRET = "a-long-enough-secret"


def configured(**settings: str) -> Configurator:
    """Return a configurator with the base and a secret."""
    config = Configurator(settings={"c2c.secret": SECRET, **settings})
    config.include("c2c_broadcast")
    return config


def test_route_and_path_follow_base_path_and_route_prefix() -> None:
    """The application's route prefix comes before the base path."""
    config = Configurator(settings={"c2c.secret": SECRET, "c2c.base_path": "tools/"}, route_prefix="/api")
    config.include("c2c_broadcast")
    config.add_operator_view(lambda request: {"url": request.route_path("c2c_x")}, name="x", path="x", public=True)
    assert TestApp(config.make_wsgi_app()).get("/api/tools/x").json == {"url": "/api/tools/x"}


def test_answers_are_json_and_never_cached() -> None:
    """The fall-back renderer writes indented, sorted JSON with non-ASCII as it is."""
    config = configured()
    config.add_operator_view(lambda request: {"b": 1, "a": "é"}, name="x", path="/x", public=True)
    response = TestApp(config.make_wsgi_app()).get("/c2c/x")
    assert response.text == '{\n  "a": "é",\n  "b": 1\n}'
    assert "no-cache" in response.headers["Cache-Control"]


def test_another_package_brings_the_renderer() -> None:
    """Where fast_json is somebody's, it is used, whatever the order of the includes."""
    config = configured()
    config.add_operator_view(lambda request: {}, name="x", path="/x", public=True)
    config.add_renderer("fast_json", lambda info: lambda value, system: "mine")
    assert TestApp(config.make_wsgi_app()).get("/c2c/x").text == "mine"


def test_errors_of_the_view_are_never_cached() -> None:
    """An answer raised in the view has the same headers."""
    config = configured()

    def view(request: object) -> None:
        raise HTTPNotFound("nothing here")

    config.add_operator_view(view, name="x", path="/x", public=True)
    response = TestApp(config.make_wsgi_app()).get("/c2c/x", status=404)
    assert "no-cache" in response.headers["Cache-Control"]


def test_another_method_is_405() -> None:
    """HEAD comes with GET; what is not allowed is said, with Allow (RFC 9110, 15.5.6)."""
    config = configured()
    config.add_operator_view(lambda request: {}, name="x", path="/x", public=True)
    app = TestApp(config.make_wsgi_app())
    assert app.head("/c2c/x").body == b""
    response = app.post("/c2c/x", status=405)
    assert response.headers["Allow"] == "GET, HEAD"
    assert response.json["status"] == 405


def test_one_method() -> None:
    """A single method may be said without a tuple."""
    config = configured()
    config.add_operator_view(lambda request: {"is": request.method}, name="x", path="/x", methods="post", public=True)
    app = TestApp(config.make_wsgi_app())
    assert app.post("/c2c/x").json == {"is": "POST"}
    assert app.get("/c2c/x", status=405).headers["Allow"] == "POST"


def test_two_views_of_one_name_stop_the_start() -> None:
    """The conflict names both places."""
    config = configured()
    config.add_operator_view(lambda request: {}, name="x", path="/x", public=True)
    config.add_operator_view(lambda request: {}, name="x", path="/y", public=True)
    with pytest.raises(ConfigurationConflictError, match="test_operator_views"):
        config.commit()


def test_a_public_view_that_changes_state_needs_an_operator_where_there_is_a_secret() -> None:
    """Reading is free, changing is not, unless nobody could be an operator."""

    def resets(request: object) -> bool:
        return "reset" in request.params  # type: ignore[attr-defined]

    for secret, status in ((SECRET, 403), ("", 200)):
        config = Configurator(settings={"c2c.secret": secret})
        config.include("c2c_broadcast")
        config.add_operator_view(lambda request: {}, name="x", path="/x", public=True, changes_state=resets)
        app = TestApp(config.make_wsgi_app())
        app.get("/c2c/x", status=200)
        app.get("/c2c/x?reset=1", status=status)
        app.post("/c2c/x?reset=1", status=status)
    config = configured()
    config.add_operator_view(lambda request: {}, name="x", path="/x", public=True, changes_state=resets)
    TestApp(config.make_wsgi_app()).get("/c2c/x", {"reset": "1", "secret": SECRET}, status=200)


def test_operator_views_are_introspectable() -> None:
    """People find the views with pviews and pdebug tools."""
    config = configured()
    config.add_operator_view(lambda request: {}, name="x", path="/x")
    config.commit()
    found = config.introspector.get("c2c operator views", "x")
    assert (found["route"], found["pattern"], found["public"]) == ("c2c_x", "/c2c/x", False)


def test_including_twice_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """State survives a second include, also after a commit."""
    caplog.set_level(logging.WARNING)
    config = configured()
    config.add_section(Section(name="one", title="One"))
    config.commit()
    config.include("c2c_broadcast")
    live = Live(title="Y", route="c2c_x", every=5)
    two = Section(name="two", title="Two", order=1, links=(Link(title="X", route="c2c_x"),), live=(live,))
    config.add_section(two)
    config.make_wsgi_app()
    assert (live.kind, sections(config.registry)[0].live) == ("table", (live,))
    assert [section.name for section in sections(config.registry)] == ["two", "one"]


def test_two_sections_of_one_name_are_a_conflict() -> None:
    """The second one is not lost in silence."""
    config = configured()
    config.add_section(Section(name="one", title="One"))
    config.add_section(Section(name="one", title="Other"))
    with pytest.raises(ConfigurationConflictError):
        config.commit()


def test_no_section() -> None:
    """What is no section is named at once."""
    with pytest.raises(ConfigurationError, match="Section, not 'mine'"):
        configured().add_section("mine")


def test_a_bad_setting_stops_the_start() -> None:
    """The application does not start with a setting that can't be read."""
    with pytest.raises(ConfigurationError, match="C2C_BASE_PATH"):
        configured(**{"c2c.base_path": "/{x}"})


def test_the_masker_of_an_application_knows_its_secrets() -> None:
    """Secret values of the settings are hidden wherever they stand."""
    config = configured(**{"sqlalchemy.url": "postgresql://u:pass-word@h/d"})
    assert masker_of(config.registry)(f"{SECRET} pass-word x") == "*** *** x"


def test_no_view_is_added_without_a_secret() -> None:
    """A closed view that nobody could open is not registered: 404, not 403."""
    config = Configurator(settings={})
    config.include("c2c_broadcast")
    config.add_operator_view(lambda request: {}, name="x", path="/x")
    TestApp(config.make_wsgi_app()).get("/c2c/x", status=404)


class NobodyPolicy:
    """A security policy by which nobody may do anything."""

    def identity(self, request):
        """Know nobody."""

    authenticated_userid = identity

    def permits(self, request, context, permission):
        """Permit nothing."""
        return False

    def remember(self, request, userid, **_kw):
        """Remember nobody."""
        return []

    forget = remember


def _away(request):
    raise OSError("the database is away")


@pytest.mark.parametrize(
    "strict",
    [
        lambda config: (config.set_security_policy(NobodyPolicy()), config.set_default_permission("view")),
        lambda config: config.set_default_csrf_options(require_csrf=True),
        lambda config: config.add_forbidden_view(lambda request: HTTPFound("/log-in")),
        lambda config: config.set_root_factory(_away),
    ],
    ids=["default permission", "CSRF tokens", "forbidden view", "root factory that fails"],
)
def test_what_the_application_asks_of_its_users_is_not_asked_of_operators(strict):
    """Its permissions, its CSRF tokens, its log-in page and its root factory are not in the way of operator views."""
    config = configured()
    strict(config)
    config.add_operator_view(lambda request: {"seen": request.method}, name="x", path="/x", changes_state=True)
    config.add_operator_view(lambda request: {"seen": request.method}, name="y", path="/y", public=True)
    app = TestApp(config.make_wsgi_app())
    assert app.get("/c2c/y").json == {"seen": "GET"}
    refused = app.get("/c2c/x", status=403)
    assert refused.json["status"] == 403
    assert "no-cache" in refused.headers["Cache-Control"]
    assert app.post("/c2c/x", headers={"X-API-Key": SECRET}).json == {"seen": "POST"}
    assert app.put("/c2c/x", headers={"X-API-Key": SECRET}, status=405).headers["Allow"] == "GET, HEAD, POST"


def test_a_view_that_is_off_says_what_switches_it_on() -> None:
    """An operator reads the variable's name in the 404, anybody else reads nothing."""
    config = configured()
    config.add_operator_view(lambda request: {}, name="x", path="/x", off="X_VIEW_ENABLED=true")
    app = TestApp(config.make_wsgi_app())
    assert app.get("/c2c/x", {"secret": SECRET}, status=404).json["message"] == "/c2c/x is off: set X_VIEW_ENABLED=true"
    app.reset()
    assert "X_VIEW" not in app.get("/c2c/x", status=404).text
    assert config.introspector.get("c2c operator views", "x") is None


def test_all_operator_views_are_one_comparison() -> None:
    """Of thirty views, the application's request meets one route; addresses and names stay."""
    config = configured()
    for number in range(30):
        config.add_operator_view(lambda request: request.matchdict, name=f"v{number}", path=f"/v{number}/{{id}}")
    config.add_route("own", "/own")
    config.add_view(lambda request: {"url": request.route_url("c2c_v7", id="a")}, route_name="own", renderer="json")
    config.commit()
    routes = config.get_routes_mapper().get_routes()
    assert [route.name for route in routes] == ["c2c /c2c", "own"]
    app = TestApp(config.make_wsgi_app())
    assert app.get("/own").json == {"url": "http://localhost/c2c/v7/a"}
    assert app.get("/c2c/v7/a", {"secret": SECRET}).json == {"id": "a"}


def test_the_view_sees_its_own_route() -> None:
    """Metrics and logs name the route of the view, not the one that all share."""
    config = configured()
    config.add_operator_view(lambda request: {"route": request.matched_route.name}, name="x", path="/x")
    assert TestApp(config.make_wsgi_app()).get("/c2c/x", {"secret": SECRET}).json == {"route": "c2c_x"}


def test_the_applications_routes_below_the_base_path_stay() -> None:
    """What is no operator view there is the application's."""
    config = configured()
    config.add_operator_view(lambda request: {}, name="x", path="/x")
    for name, path in (("mine", "/c2c/mine"), ("near", "/c2capplication")):
        config.add_route(name, path)
        config.add_view(lambda request: request.matched_route.name, route_name=name, renderer="string")
    app = TestApp(config.make_wsgi_app())
    assert (app.get("/c2c/mine").text, app.get("/c2capplication").text) == ("mine", "near")


class Endless:
    """A body of unknown size, which counts what is read of it."""

    def __init__(self) -> None:
        self.asked = 0

    def read(self, size: int = -1) -> bytes:
        """Give more, up to a bound."""
        self.asked += 1
        return b"a" * 65536 if self.asked < 1000 else b""

    readline = read


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("key", [None, SECRET])
@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 411),
        ({"CONTENT_LENGTH": "65537"}, 413),
        ({"wsgi.input_terminated": True}, 200),
    ],
)
def test_a_body_of_any_size_is_not_read(public: bool, key: str | None, environ: dict[str, object], status: int) -> None:
    """Nobody fills the memory by a form: neither for the secret in it, nor by what the view itself asks of it."""
    config = configured()
    config.add_operator_view(
        lambda request: {"given": request.params.get("x")},
        name="x",
        path="/x",
        public=public,
        changes_state=lambda request: "x" in request.params,
    )
    app = config.make_wsgi_app()
    request = Request.blank("/c2c/x", method="POST", content_type="application/x-www-form-urlencoded")
    request.environ.pop("CONTENT_LENGTH", None)
    body = Endless()
    request.environ |= {"wsgi.input": body, **environ}
    if key is not None:
        request.headers["X-API-Key"] = key
    answer = request.get_response(app)
    assert answer.status_int == (status if public or key else 403)
    assert body.asked == 0
