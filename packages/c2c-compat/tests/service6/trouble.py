"""Views that fail, leak, wait, or ask the service itself; checks that fail."""

import logging
import os

import requests
import sqlalchemy as sa
from pyramid.httpexceptions import exception_response

import c2cwsgiutils.health_check
from c2cwsgiutils import redis_utils, services, version

_LOG = logging.getLogger("sqlalchemy.engine.of_the_tests")
_leaves = []


class Leaf:
    """What is left behind."""


pings = services.create("ping", "/ping")


@pings.get()
def ping(request):
    """Leave something behind, when asked for."""
    if request.params.get("toto") == "tutu":
        _leaves.append(Leaf())
    return {"pong": True}


def error(request):
    """Fail as one asks."""
    if request.params.get("db") == "twice":  # said at the commit
        for _ in range(2):
            request.dbsession.execute(sa.text("INSERT INTO hello (value) VALUES ('again')"))
    elif request.params.get("db") == "text":
        request.dbsession.execute(sa.text("SELECT * FROM hello WHERE id = 'abc'"))
    elif "code" in request.params:
        code = int(request.params["code"])
        more = {"headers": {"WWW-Authenticate": 'Basic realm="rivers"'}} if code == 401 else {}
        more |= {"location": "http://www.camptocamp.com/"} if code == 301 else {}
        raise exception_response(code, detail="raised on purpose", **more)
    else:
        raise RuntimeError("it rains")


def wait(request):
    """Wait for longer than the database does."""
    request.dbsession.execute(sa.text("SELECT pg_sleep(10)"))


def identified(request):
    """Tell the id of this request, and that of another one that it makes."""
    mine = {"id": request.c2c_request_id}
    if request.params.get("depth", "1") == "0":
        return mine
    url = request.route_url("identified", _query={"depth": "0"})
    return {**mine, "other": requests.get(url).json()["id"]}


def cached(request):
    """Ask Redis."""
    return {"name": redis_utils.get(request.registry.settings)[0].get("no such key")}


def fail(request):
    """Fail."""
    raise ValueError("it is dry")


def fail_json(request):
    """Fail with more to say."""
    raise c2cwsgiutils.health_check.JsonCheckException("it is dry", {"level": -1})


def fun_url(request):
    """Tell an address of this service."""
    return f"{os.environ['RIVERS_URL']}ping"


def add(config, checks, session):
    """Add all of it."""
    config.scan("trouble")
    for view in (error, wait, identified, cached):
        config.add_route(view.__name__, f"/{view.__name__}")
        config.add_view(view, route_name=view.__name__, renderer="json", http_cache=0)
    checks.add_url_check(f"{os.environ['RIVERS_URL']}rivers")
    checks.add_url_check(fun_url)
    checks.add_alembic_check(session, "alembic.ini", level=1)
    checks.add_custom_check("fail", fail, 2)
    checks.add_custom_check("fail_json", fail_json, 2)
    version.includeme(config)
