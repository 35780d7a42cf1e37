import pytest
from pyramid.httpexceptions import HTTPBadRequest, HTTPFound

from c2c_rest._errors import shown_url, wants_problem

PROBLEM = "application/problem+json"
OPERATOR = {"X-API-Key": "a secret of an operator"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROBLEM, True),
        ("Application/Problem+JSON", True),
        (f"{PROBLEM}, application/json", True),
        (f"application/json;q=0.9, {PROBLEM}", True),
        (f"application/json;q=0.5, {PROBLEM};q=0.6, */*;q=0.1", True),
        (f"application/json, {PROBLEM}", False),
        (f"{PROBLEM};q=0.9, application/json", False),
        (f"text/html, {PROBLEM};q=0.8", False),
        (f"{PROBLEM};q=0", False),
        ("application/json", False),
        ("*/*", False),
        ("", False),
        (f"{PROBLEM}, ;;;", False),
    ],
)
def test_who_gets_a_problem(raising, accept, expected):
    """Problem details are for who accepts them first; anybody else, a broken Accept too, gets the usual object."""
    answer = raising(HTTPBadRequest("bad")).get("/raise", headers={"Accept": accept}, status=400)
    assert answer.content_type == (PROBLEM if expected else "application/json")
    assert ("detail" in answer.json) == expected


def test_what_a_problem_says(raising):
    """Type, title, status, detail and instance are those of RFC 9457; other members are extensions."""
    error = HTTPBadRequest("bad", json={"code": 7}, headers={"Retry-After": "3"})
    answer = raising(error).get("/raise?secret=x", headers={"Accept": PROBLEM}, status=400)
    assert answer.json == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "bad",
        "instance": "/raise",
        "code": 7,
    }
    assert answer.headers["Retry-After"] == "3"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_problem_has_the_request_id_and_the_stack_trace(make_app):
    """Where requests have an id the problem names it; operators see the stack trace."""

    def configure(config):
        config.add_request_method(lambda request: "42 is the answer", "c2c_request_id", reify=True)
        config.add_route("raise", "/raise")
        config.add_view(lambda request: 1 / 0, route_name="raise")

    body = make_app(configure).get("/raise", headers={"Accept": PROBLEM, **OPERATOR}, status=500).json
    assert body["request_id"] == "42 is the answer"
    assert body["title"] == "Internal Server Error"
    assert body["stacktrace"].endswith("ZeroDivisionError: division by zero\n")


def test_a_status_without_a_name(raising):
    """A status that has no name is an error all the same."""
    error = HTTPBadRequest("bad")
    error.status = "499 Mine"
    assert raising(error).get("/raise", headers={"Accept": PROBLEM}, status=499).json["title"] == "Error"


def test_redirections_are_no_problem(raising):
    """A redirection is passed on whatever is accepted."""
    raising(HTTPFound("/there")).get("/raise", headers={"Accept": PROBLEM}, status=302)


def test_a_request_without_accept():
    """No Accept, no problem."""

    class Request:
        environ = {}  # noqa: RUF012 # as short as can be

    assert wants_problem(Request()) is False


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "http://:"),
        ({"wsgi.url_scheme": "https", "HTTP_HOST": "a.org:8443", "PATH_INFO": "/x y"}, "https://a.org:8443/x%20y"),
        ({"SERVER_NAME": "a", "SERVER_PORT": "80", "SCRIPT_NAME": "/s", "PATH_INFO": "/p"}, "http://a:80/s/p"),
        ({"HTTP_HOST": "a", "PATH_INFO": "/\xff\n", "QUERY_STRING": "q=%ff&x=\x00"}, "http://a/%FF%0A?q=%ff&x=%00"),
        ({"HTTP_HOST": "[::1]:80", "PATH_INFO": "/a%20b"}, "http://[::1]:80/a%2520b"),
        ({"HTTP_HOST": "a\nforged", "PATH_INFO": "/\u20ac"}, "http://a%0Aforged/%3F"),
    ],
)
def test_the_url_that_is_shown(environ, expected):
    """The URL of a request is shown whatever its bytes are, and on one line."""
    assert shown_url(environ) == expected
