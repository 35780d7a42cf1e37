"""What a page may read, as a browser decides it."""

import json
from collections import Counter

import pytest
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest, HTTPFound, HTTPNoContent

from c2c_rest import services

_BLOCKED = "blocked"
_PROBLEM = "application/problem+json"

# name, path, what fetch is told, what the page gets: the status, or that it is blocked.
_CASES = [
    ("open", "/open", {}, 200),
    ("open, 400", "/open?what=400", {}, 400),
    ("open, 500", "/open?what=500", {}, 500),
    ("open, not renderable", "/open?what=nan", {}, 500),
    ("open, 204", "/open?what=204", {}, 204),
    ("open, redirected to a service", "/open?what=302", {}, 200),
    ("open, problem details", "/open?what=400", {"headers": {"Accept": _PROBLEM}}, 400),
    ("open, with credentials", "/open", {"credentials": "include"}, _BLOCKED),
    (
        "open, POST of JSON",
        "/open",
        {"method": "POST", "body": "{}", "headers": {"Content-Type": "application/json"}},
        200,
    ),
    ("open, POST of a form", "/open", {"method": "POST", "body": "a=1"}, 200),
    ("open, DELETE with a header", "/open", {"method": "DELETE", "headers": {"X-Mine": "1"}}, 200),
    ("open, DELETE, 400", "/open?what=400", {"method": "DELETE"}, 400),
    ("open, PUT, which is not there", "/open", {"method": "PUT"}, _BLOCKED),
    ("credentials", "/credentials", {"credentials": "include"}, 200),
    ("credentials, omitted", "/credentials", {"credentials": "omit"}, 200),
    (
        "credentials, POST of JSON",
        "/credentials",
        {"method": "POST", "credentials": "include", "body": "{}", "headers": {"Content-Type": "application/json"}},
        200,
    ),
    ("credentials, DELETE", "/credentials", {"method": "DELETE", "credentials": "include"}, 200),
    ("credentials, 400", "/credentials?what=400", {"credentials": "include"}, 400),
    ("credentials, 500", "/credentials?what=500", {"credentials": "include"}, 500),
    ("credentials, DELETE, 500", "/credentials?what=500", {"method": "DELETE", "credentials": "include"}, 500),
    ("mine", "/mine", {}, 200),
    ("mine, with credentials", "/mine", {"credentials": "include"}, 200),
    ("mine, 500", "/mine?what=500", {"credentials": "include"}, 500),
    ("other", "/other", {}, _BLOCKED),
    ("other, 500", "/other?what=500", {}, _BLOCKED),
    ("other, DELETE", "/other", {"method": "DELETE"}, _BLOCKED),
    ("plain", "/plain", {}, _BLOCKED),
    ("plain, 400", "/plain?what=400", {}, 400),
    ("plain, 400, with credentials", "/plain?what=400", {"credentials": "include"}, _BLOCKED),
    ("plain, DELETE", "/plain", {"method": "DELETE"}, _BLOCKED),
    ("nowhere", "/nowhere", {}, 404),
    ("nowhere, with credentials", "/nowhere", {"credentials": "include"}, _BLOCKED),
    ("operators", "/c2c/operators", {}, _BLOCKED),
    ("operators, nothing there", "/c2c/nothing", {}, _BLOCKED),
    (
        "operators, with the secret",
        "/c2c/operators?secret=a+secret+of+an+operator",
        {"credentials": "include"},
        _BLOCKED,
    ),
]

_HTML = """<!doctype html>
<title>CORS</title>
<script>
const cases = %s;
async function ask([name, url, options]) {
  try {
    const answer = await fetch(url, options);
    return [name, {status: answer.status, type: answer.headers.get("Content-Type"), text: await answer.text()}];
  } catch (error) {
    return [name, {status: "blocked", text: String(error)}];
  }
}
(async () => {
  const results = {};
  for (const one of cases) {
    const [name, result] = await ask(one);
    results[name] = result;
  }
  await fetch("/results", {method: "POST", body: JSON.stringify(results)});
})();
</script>
"""


def _view(request):
    what = request.params.get("what")
    if what == "500":
        raise RuntimeError("oops")
    if what == "nan":
        return {"x": float("nan")}
    if what in {"204", "302", "400"}:
        error = {"204": HTTPNoContent, "302": lambda: HTTPFound("/open"), "400": lambda: HTTPBadRequest("bad")}[what]()
        raise error
    return {"method": request.method, "cookie": request.cookies.get("who")}


def _application(page_origin, asked):
    config = Configurator(settings={"c2c.secret": "a secret of an operator"})
    config.include("c2c_rest")
    options = {
        "open": {},
        "credentials": {"cors_credentials": True},
        "mine": {"cors_origins": (page_origin,), "cors_credentials": True},
        "other": {"cors_origins": ("https://other.example",)},
    }
    for name, keywords in options.items():
        service = services.create(f"browser_{name}", f"/{name}", **keywords)
        for method in ("GET", "POST", "DELETE"):
            service.add_view(method, _view)
        config.add_cornice_service(service)
    config.add_route("plain", "/plain")
    config.add_view(_view, route_name="plain", renderer="json")
    config.add_operator_view(_view, name="operators", path="/operators")
    application = config.make_wsgi_app()

    def counting(environ, start_response):
        asked[environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")] += 1
        return application(environ, start_response)

    return counting


@pytest.fixture(scope="module")
def visit(browse, serving, page):
    """Give what the page could read of each case, and what the service was asked."""
    asked = Counter()
    with serving(page) as page_origin, serving(_application(page_origin, asked)) as origin:
        cases = [[name, origin + path, options] for name, path, options, _ in _CASES]
        page.use(_HTML % json.dumps(cases))
        return browse(page, page_origin), asked


@pytest.mark.parametrize(("name", "path", "options", "expected"), _CASES, ids=[case[0] for case in _CASES])
def test_what_the_page_may_read(visit, name, path, options, expected):
    """The page reads answers and errors of services that allow it, and errors of what is no service."""
    results, _ = visit
    assert results[name]["status"] == expected, results[name]["text"]


def test_the_page_reads_messages(visit):
    """What the page reads of an error is our JSON, or problem details."""
    results, _ = visit
    assert json.loads(results["open, 400"]["text"]) == {"message": "bad", "status": 400}
    assert json.loads(results["credentials, 500"]["text"]) == {"message": "oops", "status": 500}
    assert results["open, problem details"]["type"] == _PROBLEM


def test_cookies_go_with_credentials_only(visit):
    """The page's cookie reaches a service with credentials when it is included, and not otherwise."""
    results, _ = visit
    assert json.loads(results["credentials"]["text"])["cookie"] == "me"
    assert json.loads(results["credentials, omitted"]["text"])["cookie"] is None
    assert json.loads(results["open"]["text"])["cookie"] is None


def test_refused_requests_do_not_reach_the_view(visit):
    """What a pre-flight refuses is not sent; an answer to a pre-flight is not asked for again."""
    _, asked = visit
    assert asked["OPTIONS", "/other", ""] == 1
    assert asked["DELETE", "/other", ""] == 0
    assert asked["PUT", "/open", ""] == 0
    assert asked["DELETE", "/plain", ""] == 0
    assert asked["DELETE", "/credentials", "what=500"] == 1
