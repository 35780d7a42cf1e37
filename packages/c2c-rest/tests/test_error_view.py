import json
import logging

import pytest
import webob.exc
from pyramid import httpexceptions
from pyramid.httpexceptions import HTTPBadRequest, HTTPFound, HTTPNotFound, HTTPUnauthorized
from pyramid.request import Request
from webob.request import DisconnectionError

from c2c_broadcast import json_error

OPERATOR = {"X-API-Key": "a secret of an operator"}


class _BrokenError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class _MaintenanceError(Exception):
    http_status = 503
    retry_after = 7


class _ForeignError(Exception):
    """A client of another service, whose answer is not ours."""

    def __init__(self):
        super().__init__("the other service says 404")
        self.http_status = 404


def _named(package, name, *args, **attributes):
    """An exception of a library that is not installed."""
    kind = type(name, (Exception,), {"__module__": f"{package}.exceptions"})
    error = kind(*args)
    for key, value in attributes.items():
        setattr(error, key, value)
    return error


def _client_error(status):
    response = {"Error": {"Code": "NoSuchKey"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return _named("botocore", "ClientError", "An error occurred (NoSuchKey)", response=response)


@pytest.mark.parametrize(
    ("error", "status", "message", "level"),
    [
        (HTTPBadRequest("bad"), 400, "bad", logging.WARNING),
        (HTTPBadRequest, 400, HTTPBadRequest.explanation, logging.WARNING),
        (HTTPUnauthorized("who?"), 401, "who?", logging.DEBUG),
        (httpexceptions.HTTPForbidden("no"), 403, "no", logging.WARNING),
        (httpexceptions.HTTPInternalServerError("oops"), 500, "oops", logging.ERROR),
        (httpexceptions.HTTPServiceUnavailable("later"), 503, "later", logging.WARNING),
        (json_error(HTTPBadRequest, "bad"), 400, "bad", logging.WARNING),
        (webob.exc.HTTPConflict("both"), 409, "both", logging.WARNING),
        (RuntimeError("oops"), 500, "oops", logging.ERROR),
        (RuntimeError, 500, "RuntimeError", logging.ERROR),
        (_BrokenError, 500, "_BrokenError", logging.ERROR),
        (KeyError("é\ud800"), 500, "'é\\ud800'", logging.ERROR),
        (ConnectionResetError("gone"), 500, "gone", logging.INFO),
        (DisconnectionError("gone"), 500, "gone", logging.INFO),
        (BrokenPipeError("gone"), 500, "gone", logging.ERROR),
        (_MaintenanceError("read-only"), 503, "read-only", logging.WARNING),
        (_ForeignError, 500, "the other service says 404", logging.ERROR),
        (_client_error(404), 404, "An error occurred (NoSuchKey)", logging.WARNING),
        (_client_error(200), 500, "An error occurred (NoSuchKey)", logging.ERROR),
        (_named("botocore", "ClientError", "?"), 500, "?", logging.ERROR),
        (_named("beaker", "BeakerException", "Invalid signature"), 401, "Invalid signature", logging.DEBUG),
        (_named("beaker", "BeakerException", "No such session"), 500, "No such session", logging.ERROR),
        (_named("mine", "ClientError", "x", response={}), 500, "x", logging.ERROR),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_exception_is_json_and_one_record(raising, records, error, status, message, level):
    """Each kind of exception has its status, its message, and one record of its level, with a traceback if ERROR."""
    answer = raising(error).get("/raise", status=status)
    assert answer.json == {"message": message, "status": status}
    assert answer.content_type == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "no-cache" in answer.headers["Cache-Control"]
    record = records.only()
    assert record.levelno == level
    assert record.message == f"GET http://localhost:80/raise returned status code {status}: {message}"
    assert bool(record.exc_info) == (level == logging.ERROR)


def test_headers_of_an_http_error_are_kept(raising):
    """WWW-Authenticate, Retry-After and each cookie reach the client; what describes the replaced body does not."""
    error = HTTPUnauthorized(
        "who?",
        headers=[
            ("WWW-Authenticate", 'Basic realm="x"'),
            ("Retry-After", "3"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("ETag", '"of the body"'),
            ("Cache-Control", "max-age=3"),
        ],
    )
    answer = raising(error).get("/raise", status=401)
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="x"'
    assert answer.headers["Retry-After"] == "3"
    assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert "ETag" not in answer.headers
    assert answer.headers.getall("Cache-Control") == ["max-age=3"]
    assert answer.headers.getall("Content-Type") == ["application/json"]


def test_retry_after_of_a_declared_status(raising):
    """A class that declares its status may say when to try again."""
    assert raising(_MaintenanceError).get("/raise", status=503).headers["Retry-After"] == "7"
    error = _MaintenanceError("read-only")
    error.retry_after = 3
    assert raising(error).get("/raise", status=503).headers["Retry-After"] == "3"


def test_members_of_a_json_body_are_kept(raising):
    """What an HTTP error says in a JSON body of its own stays; message and status are ours."""
    error = HTTPBadRequest("bad", json={"code": "E12", "status": "error", "message": "mine", "secret": "sesame"})
    body = raising(error).get("/raise", status=400).json
    assert body == {"code": "E12", "message": "bad", "status": 400, "secret": "***"}


def test_a_body_that_is_no_json_object_is_replaced(raising):
    """A list, or what only claims to be JSON, becomes the usual object."""
    for body in (b"[1]", b"{"):
        error = HTTPBadRequest("bad", body=body, content_type="application/json")
        assert raising(error).get("/raise", status=400).json == {"message": "bad", "status": 400}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_raised_redirection_is_passed_on(raising, records, status):
    """A redirection stays one, with CORS, and is logged at DEBUG only."""
    error = httpexceptions.status_map[status]("/there")
    answer = raising(error).get("/raise", status=status)
    assert answer.headers["Location"] == "http://localhost/there"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert records.only().levelno == logging.DEBUG


def test_a_raised_204_has_no_content_and_no_type(raising):
    """204 has neither Content-Type nor Content-Length, even if it was given some."""
    for error in (_no_content(), _no_content(text="text", content_type="text/plain")):
        answer = raising(error).get("/raise", status=204)
        assert answer.body == b""
        assert "Content-Type" not in answer.headers
        assert "Content-Length" not in answer.headers
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def _no_content(**keywords):
    """Return a 204, with a body it should not have."""
    error = httpexceptions.HTTPNoContent()
    for key, value in keywords.items():
        setattr(error, key, value)
    return error


def test_a_raised_success_is_passed_on(raising):
    """A raised 201 with a body arrives as it is."""
    answer = raising(httpexceptions.HTTPCreated(json={"id": 1})).get("/raise", status=201)
    assert answer.json == {"id": 1}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("error", [HTTPBadRequest("bad"), HTTPUnauthorized("who?"), HTTPFound("/there")])
def test_options_answers_200(raising, records, error):
    """An OPTIONS request is answered 200 when an HTTP error is raised, so that a browser goes on to ask."""
    answer = raising(error).options("/raise", status=302 if isinstance(error, HTTPFound) else 200)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert records.only().levelno == logging.DEBUG


def test_a_crash_of_options_is_a_500(raising):
    """A view that crashes on OPTIONS is a defect, and is shown as one."""
    raising(RuntimeError("oops")).options("/raise", status=500)


def test_head_has_the_status_without_a_body(raising):
    """HEAD gets the status and headers only."""
    answer = raising(HTTPBadRequest("bad")).head("/raise", status=400)
    assert answer.body == b""


def test_an_operator_sees_the_stack_trace(raising):
    """With the secret comes the stack trace; without, or with a wrong one, it does not."""
    app = raising(RuntimeError("oops"))
    body = app.get("/raise", headers=OPERATOR, status=500).json
    assert body["stacktrace"].startswith("Traceback (most recent call last):\n")
    assert body["stacktrace"].endswith("RuntimeError: oops\n")
    assert "stacktrace" not in app.get("/raise", headers={"X-API-Key": "wrong"}, status=500).json
    app.reset()
    assert "stacktrace" not in app.get("/raise", status=500).json


def test_development_shows_everybody_the_stack_trace(raising, monkeypatch):
    """With DEVELOPMENT=1 everybody sees the stack trace."""
    monkeypatch.setenv("DEVELOPMENT", "1")
    assert "in raise_it" in raising(RuntimeError("oops")).get("/raise", status=500).json["stacktrace"]


def test_secrets_are_masked_everywhere(raising, records):
    """Neither the answer, with its stack trace, nor the log shows a secret of the URL, the referrer or the message."""
    app = raising(RuntimeError("can't connect to postgresql://me:hunter22@db/x with a secret of an operator"))
    answer = app.get(
        "/raise?secret=a+secret+of+an+operator&token=abcdef",
        headers={"Referer": "http://x/?password=abcdef"},
        status=500,
    )
    record = records.only()
    assert record.referrer == "http://x/?password=***"
    for secret in ("hunter22", "abcdef", "a secret of an operator", "a+secret+of+an+operator"):
        assert secret not in answer.text
        assert secret not in record.message


def test_the_referrer_is_in_the_record(raising, records):
    """The page that the request came from is an attribute of the record, None without one."""
    app = raising(HTTPBadRequest("bad"))
    app.get("/raise", headers={"Referer": "http://page/"}, status=400)
    assert records.only().referrer == "http://page/"
    app.get("/raise", status=400)
    assert records.only().referrer is None


@pytest.mark.parametrize("key", ["c2c.disable_exception_handling", "c2c.enable_exception_handling"])
def test_exception_handling_can_be_off(raising, key):
    """Switched off, exceptions reach the server, or Pyramid's own views."""
    settings = {key: "true" if "disable" in key else "0"}
    with pytest.raises(RuntimeError, match="oops"):
        raising(RuntimeError("oops"), settings).get("/raise")
    assert "explanation" not in raising(HTTPBadRequest("bad"), settings).get("/raise", status=400).text
    assert raising(HTTPBadRequest("bad"), settings).get("/raise", status=400).content_type == "text/plain"


@pytest.mark.parametrize("name", ["C2C_DISABLE_EXCEPTION_HANDLING", "C2C_ENABLE_EXCEPTION_HANDLING"])
def test_exception_handling_can_be_off_by_environment(raising, monkeypatch, name):
    """Both variables switch it off."""
    monkeypatch.setenv(name, "1" if "DISABLE" in name else "0")
    with pytest.raises(RuntimeError, match="oops"):
        raising(RuntimeError("oops")).get("/raise")


def test_the_application_may_have_its_own_views(make_app):
    """An exception view of the application wins over ours, for its own class and for ours."""

    def configure(config):
        config.add_route("raise", "/raise")
        config.add_view(lambda request: 1 / 0, route_name="raise")
        config.add_exception_view(lambda error, request: "math", context=ArithmeticError, renderer="string")
        config.add_notfound_view(lambda error, request: "nothing here", renderer="string")

    app = make_app(configure)
    assert app.get("/raise").text == "math"
    assert app.get("/nowhere").text == "nothing here"


def test_404_outside_any_route(make_app, records):
    """A path that no route has is a 404 with CORS and one record."""
    answer = make_app().get("/nowhere", status=404)
    assert answer.json == {"message": "/nowhere", "status": 404}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert records.only().levelno == logging.WARNING


def test_a_predicate_mismatch_does_not_name_the_view(make_app, records):
    """A route without a view for the method is a 404 that tells the view's name to operators only."""

    def configure(config):
        config.add_route("hello", "/hello")
        config.add_view(lambda request: {}, route_name="hello", request_method="GET", renderer="json")

    app = make_app(configure)
    answer = app.post("/hello", status=404)
    assert answer.json == {"message": HTTPNotFound.explanation, "status": 404}
    assert "predicate mismatch" in records.only().message
    assert "predicate mismatch" in app.post("/hello", headers=OPERATOR, status=404).json["message"]


def test_405_outside_any_route(make_app, records):
    """A 405 raised before there is a route keeps Allow and has CORS."""

    def refuse(request):
        raise httpexceptions.HTTPMethodNotAllowed("never", headers={"Allow": "GET"})

    answer = make_app(lambda config: config.set_root_factory(refuse)).post("/nowhere", status=405)
    assert answer.headers["Allow"] == "GET"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert records.only().levelno == logging.WARNING


@pytest.mark.parametrize("path", ["/c2c", "/c2c/nothing"])
def test_operator_views_have_no_cors(make_app, path):
    """Below the base path no origin is allowed, whether there is a view or not."""

    def configure(config):
        config.add_operator_view(lambda request: {}, name="index", path="")

    app = make_app(configure)
    answer = app.get(path, headers={"Origin": "http://page"}, status="4*")
    assert "Access-Control-Allow-Origin" not in answer.headers
    prefixed = make_app(configure, route_prefix="/api")
    answer = prefixed.get("/api" + path, headers={"Origin": "http://page"}, status="4*")
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert app.get("/c2cx", status=404).headers["Access-Control-Allow-Origin"] == "*"


def test_errors_of_operator_views_keep_their_headers(make_app):
    """A refusal of the base arrives in the same shape, with its headers."""
    app = make_app(lambda config: config.add_operator_view(lambda request: {}, name="one", path="/one"))
    answer = app.put("/c2c/one", status=405)
    assert answer.json["status"] == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    for _ in range(5):
        app.get("/c2c/one", headers={"X-API-Key": "wrong"}, status=403)
    assert int(app.get("/c2c/one", headers={"X-API-Key": "wrong"}, status=429).headers["Retry-After"]) > 0


def test_an_error_of_a_renderer_is_json(make_app, records):
    """What a renderer raises is answered as any other exception."""

    def configure(config):
        config.add_route("hello", "/hello")
        config.add_view(lambda request: {"x": object()}, route_name="hello", renderer="json")

    answer = make_app(configure).get("/hello", status=500)
    assert "$.x is a object" in answer.json["message"]
    assert records.only().levelno == logging.ERROR


def test_errors_of_subscribers_and_of_route_predicates_are_json(make_app, records):
    """What is raised before a view is found is answered as any other exception."""

    class Fails:
        def __init__(self, value, info):
            self.text = self.phash = lambda: "fails"

        def __call__(self, info, request):
            return 1 / 0

    def configure(config):
        config.add_route_predicate("fails", Fails)
        config.add_route("hello", "/hello", fails=True)

    assert make_app(configure).get("/hello", status=500).json["message"] == "division by zero"
    assert records.only().levelno == logging.ERROR
    subscribed = make_app(lambda config: config.add_subscriber(lambda event: 1 / 0, "pyramid.events.NewRequest"))
    assert subscribed.get("/hello", status=500).json["message"] == "division by zero"


@pytest.mark.parametrize("path", ["/%ff", "/hello?a=%ff"])
def test_a_request_that_is_not_utf8_is_the_clients_fault(make_app, records, path):
    """Bytes that are not UTF-8 in path or query are a 400, and the log shows them as they came."""

    def configure(config):
        config.add_route("hello", "/hello")
        config.add_view(lambda request: dict(request.GET), route_name="hello", renderer="json")

    answer = make_app(configure).get(path, status=400)
    assert "not UTF-8" in answer.json["message"]
    assert path.upper() in records.only().message.upper()


def test_a_unicode_error_of_the_application_is_a_500(raising):
    """An application that decodes badly is not the client's fault."""
    raising(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")).get("/raise", status=500)


def test_an_error_in_the_error_view_is_json_and_one_record(raising, records):
    """If our own view fails, the client still gets JSON, and the log has both exceptions in one record."""

    class Hostile(httpexceptions.HTTPBadRequest):
        @property
        def headerlist(self):
            raise RuntimeError("no headers today")

    answer = raising(Hostile("bad")).get("/raise", status=500)
    assert answer.json == {"message": "Internal server error", "status": 500}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    record = records.only()
    assert "no headers today" in record.message
    assert isinstance(record.exc_info[1], Hostile)


def test_the_form_of_errors_follows_the_settings(raising):
    """Errors are indented and sorted as answers are, or not."""
    assert raising(HTTPBadRequest("bad")).get("/raise", status=400).text == '{\n  "message": "bad",\n  "status": 400\n}'
    compact = raising(HTTPBadRequest("bad"), {"c2c.json.pretty_print": "false"})
    assert compact.get("/raise", status=400).text == '{"message":"bad","status":400}'
    error = HTTPBadRequest("bad", json={"z": 1, "a": 2})
    unsorted = raising(error, {"c2c.json.pretty_print": "false", "c2c.json.sort_keys": "false"})
    assert unsorted.get("/raise", status=400).text == '{"z":1,"a":2,"message":"bad","status":400}'
    assert raising(error).get("/raise", status=400).text.startswith('{\n  "a": 2,\n  "message"')


def test_views_that_ask_for_permissions_or_tokens_do_not_hide_errors(make_app):
    """A default permission and required CSRF tokens are not asked of the error view."""

    def configure(config):
        config.set_default_csrf_options(require_csrf=True)
        config.add_route("hello", "/hello")
        config.add_view(lambda request: 1 / 0, route_name="hello", require_csrf=False)

    make_app(configure).post("/hello", status=500)


_FORM = "application/x-www-form-urlencoded; charset=ISO-8859-1"


@pytest.mark.parametrize(
    ("what", "body", "content_type", "status"),
    [
        ("json_body", b"{", "application/json", 400),
        ("json_body", b"", "application/json", 400),
        ("json_body", b'{"a": "\xff"}', "application/json", 400),
        ("json_body", b"1" * 5000, "application/json", 400),
        ("json_body", b"[" * 5_000, "application/json", 400),
        ("json_body", b"{}", "application/json; charset=klingon", 415),
        ("text", b"\xff", "text/plain", 400),
        ("text", b"a", "text/plain; charset=klingon", 415),
        ("POST", b"name=x", _FORM, 415),
        ("params", b"name=x", _FORM, 415),
        ("POST", b"name=x", "application/x-www-form-urlencoded; charset=klingon", 415),
        ("POST", b"--x", "multipart/form-data; boundary=" + "x" * 300, 400),
    ],
)
@pytest.mark.parametrize("headers", [{}, OPERATOR], ids=["anonymous", "operator"])
def test_a_body_that_is_not_what_it_says_is_the_clients_fault(
    make_app, records, what, body, content_type, status, headers
):
    """Broken JSON, text or form is 400, a charset that can't be read 415; one warning, no traceback."""

    def configure(config):
        config.add_route("read", "/read")
        config.add_view(lambda request: repr(getattr(request, what)), route_name="read", renderer="string")

    answer = make_app(configure).post("/read", body, headers={"Content-Type": content_type, **headers}, status=status)
    assert answer.json["status"] == status
    assert "body" in answer.json["message"]
    record = records.only()
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)


@pytest.mark.parametrize("error", [ValueError("x"), LookupError("x"), DeprecationWarning("x"), RecursionError("x")])
def test_the_same_errors_of_the_application_are_its_own(make_app, error):
    """What the application itself raises, also below a request that it makes, or of a text that it reads, is a 500."""

    def application(environ, start_response):
        raise error

    def configure(config):
        config.add_route("own", "/own")
        config.add_view(lambda request: Request.blank("/").get_response(application), route_name="own")
        config.add_route("loads", "/loads")
        config.add_view(lambda request: json.loads("{"), route_name="loads")

    app = make_app(configure)
    app.get("/own", status=500)
    app.get("/loads", status=500)


@pytest.mark.parametrize("raises", [True, False], ids=["raised", "returned"])
@pytest.mark.parametrize(
    "shared", [HTTPFound("/there"), httpexceptions.HTTPNoContent(), HTTPBadRequest("bad")], ids=str
)
def test_one_exception_of_all_requests_collects_nothing(make_app, raises, shared):
    """What is added to the answer of one client (a cookie, CORS) is not in that of the next, nor in the object."""

    def view(request):
        who = request.params["who"]
        request.add_response_callback(lambda request, response: response.set_cookie("who", who))
        if raises:
            raise shared
        return shared

    def configure(config):
        config.add_route("shared", "/shared")
        config.add_view(view, route_name="shared")

    app = make_app(configure)
    before = list(shared.headerlist)
    for who in ("one", "two"):
        app.reset()
        answer = app.get(f"/shared?who={who}", expect_errors=True)
        assert answer.status_int == shared.status_int
        assert [cookie.split(";")[0] for cookie in answer.headers.getall("Set-Cookie")] == [f"who={who}"]
    assert shared.headerlist == before


@pytest.mark.parametrize("error", [HTTPFound("/there"), httpexceptions.HTTPNoContent()], ids=str)
def test_redirects_may_be_not_cached(raising, error):
    """Of caching a raised redirection says what the application says; with a setting it is not cached, as errors."""
    assert "Cache-Control" not in raising(error).get("/raise").headers
    answer = raising(error, {"c2c.redirects_no_cache": "true"}).get("/raise")
    assert "no-cache" in answer.headers["Cache-Control"]
    error = HTTPFound("/there", cache_control="max-age=7")
    answer = raising(error, {"c2c.redirects_no_cache": "true"}).get("/raise")
    assert answer.headers["Cache-Control"] == "max-age=7"


@pytest.mark.parametrize(
    ("package", "name", "text"),
    [
        ("redis", "ConnectionError", "Error 111 connecting to redis.internal:6379. Connection refused."),
        ("requests", "ConnectionError", "HTTPConnectionPool(host='api.internal', port=80): Max retries exceeded"),
        ("psycopg2", "OperationalError", 'connection to server at "db.internal" failed: role "app" does not exist'),
        ("pymysql", "OperationalError", "(1045, \"Access denied for user 'app'@'db.internal'\")"),
    ],
)
def test_hosts_and_users_are_for_operators_and_the_log(raising, records, package, name, text):
    """What names a host, a port, a user or a database is read by operators and in the log, by nobody else."""
    app = raising(_named(package, name, text))
    assert "internal" not in app.get("/raise", status="5*").text
    assert text.split("'")[0] in records.only().message
    assert "internal" in app.get("/raise", headers=OPERATOR, status="5*").json["message"]
