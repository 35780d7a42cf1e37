"""The service's own views."""

import logging
import time
from typing import Any

import requests
from pyramid.httpexceptions import HTTPBadRequest, HTTPNotFound, exception_response
from sqlalchemy import func, select

import c2c_stats as stats
from acceptance_app.models import Hello, session_of
from c2c_rest import services

_ping = services.create("ping", "/ping")
_hello = services.create("hello", "/hello", cors_credentials=True)
_error = services.create("error", "/error")
_sleep = services.create("sleep", "/sleep")
_outgoing = services.create("outgoing", "/outgoing/{depth}")

_LOG = logging.getLogger(__name__)
_DEEPEST = 3
_LONGEST_SLEEP = 60.0


@_ping.get()
def ping(_request: Any) -> dict[str, bool]:
    """Answer, without asking anybody."""
    return {"pong": True}


@_hello.get()
def hello_get(request: Any) -> dict[str, Any]:
    """Read the newest greeting, from the replica."""
    session = session_of(request)
    with stats.timer_context(["acceptance", "hello"]):
        hello = session.scalars(select(Hello).order_by(Hello.id.desc()).limit(1)).first()
    if hello is None:
        raise HTTPNotFound("There is no greeting: PUT one")
    return {"value": hello.value, "server": _server(session)}


@_hello.put()
def hello_put(request: Any) -> dict[str, Any]:
    """Change the newest greeting, on the primary."""
    session = session_of(request)
    hello = session.scalars(select(Hello).order_by(Hello.id.desc()).limit(1)).first()
    if hello is None:
        raise HTTPNotFound("There is no greeting: POST one")
    hello.value = _value(request)
    session.flush()
    return {"value": hello.value, "server": _server(session)}


@_hello.post()
def hello_post(request: Any) -> dict[str, Any]:
    """Add a greeting, on the primary. One that exists already is an IntegrityError."""
    session = session_of(request)
    hello = Hello(value=_value(request))
    session.add(hello)
    session.flush()
    request.response.status_int = 201
    return {"value": hello.value, "server": _server(session)}


@_error.get()
def error(request: Any) -> None:
    """Fail: ``?status=404`` raises that HTTP error, without it something nobody expected happens."""
    status = request.params.get("status")
    if status is None:
        raise RuntimeError("Something nobody expected")
    if not status.isdigit() or not 400 <= int(status) < 600:  # noqa: PLR2004 # what HTTP calls errors
        raise HTTPBadRequest("status must be an HTTP error, from 400 to 599")
    raise exception_response(int(status), detail=f"You asked for {status}")


@_sleep.get()
def sleep(request: Any) -> dict[str, float]:
    """Be busy for ``?seconds=``, waiting."""
    try:
        seconds = min(float(request.params.get("seconds", "1")), _LONGEST_SLEEP)
    except ValueError:
        raise HTTPBadRequest("seconds must be a number") from None
    time.sleep(max(seconds, 0.0))
    return {"slept": seconds}


@_outgoing.get()
def outgoing(request: Any) -> dict[str, Any]:
    """Ask a service of this kind (itself, unless set up otherwise) over HTTP, ``depth`` times nested."""
    depth = request.matchdict["depth"]
    if not depth.isdigit() or int(depth) > _DEEPEST:
        raise HTTPBadRequest(f"depth must be a number from 0 to {_DEEPEST}")
    _LOG.info("Asked, %s more to ask", depth)
    answer: dict[str, Any] = {"request_id": getattr(request, "c2c_request_id", None)}
    if int(depth) > 0:
        url = request.registry.settings["acceptance.outgoing_url"]
        answer["next"] = requests.get(f"{url}/api/outgoing/{int(depth) - 1}", timeout=10).json()
    return answer


def _value(request: Any) -> str:
    try:
        value = request.json_body["value"]
    except (ValueError, KeyError, TypeError):
        raise HTTPBadRequest('The body must be JSON such as {"value": "hello"}') from None
    if not isinstance(value, str) or not value:
        raise HTTPBadRequest("value must be a text")
    return value


def _server(session: Any) -> str:
    """Tell which database answered."""
    return "replica" if session.scalar(select(func.pg_is_in_recovery())) else "primary"
