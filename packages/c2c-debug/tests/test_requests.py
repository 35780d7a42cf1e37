"""The small views: sleep, headers, error, time."""

import time

import pytest
from pyramid.httpexceptions import HTTPException


def test_sleep_answers_after_the_time_asked_for(service):
    """The answer is 204 and comes no earlier."""
    begun = time.monotonic()
    answer = service.get("/debug/sleep?time=0.2", status=204)
    assert time.monotonic() - begun >= 0.2
    assert answer.body == b""


@pytest.mark.parametrize(
    "given", ["", "time=", "time=soon", "time=-1", "time=nan", "time=inf", "time=3600.1", "time=1e99"]
)
def test_sleep_wants_a_number_of_seconds(service, given):
    """What is no number, negative or more than an hour is a 400 that names the parameter."""
    message = service.get(f"/debug/sleep?{given}", status=400).json["message"]
    assert message.startswith("time must be a number from 0 to 3600")


def test_headers_as_received(service):
    """Headers come as the application got them, and the client as it sees it."""
    found = service.get(
        "/debug/headers?x=1", headers={"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7"}
    ).json
    assert found["headers"]["X-Forwarded-For"] == "192.0.2.7"
    assert found["headers"]["Forwarded"] == "for=192.0.2.7"
    assert set(found["client_info"]) == {
        "client_addr",
        "host",
        "host_port",
        "http_version",
        "path",
        "path_info",
        "remote_addr",
        "remote_host",
        "scheme",
        "server_name",
        "server_port",
    }
    assert found["client_info"]["client_addr"] == "192.0.2.7"
    assert found["client_info"]["path"] == "/c2c/debug/headers"
    assert found["client_info"]["scheme"] == "http"
    assert found["client_info"]["http_version"] == "HTTP/1.0"
    assert found["client_info"]["server_port"] == 80
    assert "status" not in found


def test_headers_show_no_secret(service):
    """The operator's key, cookies and authorization are there by name only."""
    answer = service.get(
        "/debug/headers",
        headers={"Authorization": "Basic b3BlcmF0b3I6aHVudGVyMg==", "Cookie": "session=hunter2; c2c-auth=hunter3"},
    )
    found = answer.json["headers"]
    assert found["X-Api-Key"] == "***"
    assert found["Authorization"] == "***"
    assert found["Cookie"] == "session=***; c2c-auth=***"
    assert "hunter" not in answer.text
    assert "operators-secret" not in answer.text


def test_headers_in_an_error(service):
    """With a status the same comes in that error's body."""
    found = service.get("/debug/headers?status=503", status=503).json
    assert found["status"] == 503
    assert found["message"] == "Service Unavailable"
    assert found["headers"]["Host"] == "localhost:80"
    assert found["client_info"]["path"] == "/c2c/debug/headers"


@pytest.mark.parametrize("status", [400, 403, 404, 409, 429, 500, 502, 504])
def test_error_is_the_one_asked_for(service, status):
    """The status is the one asked for."""
    service.get(f"/debug/error?status={status}", status=status)


def test_error_goes_through_the_applications_error_views(service):
    """An exception view of the application makes the answer: this is what the view is for."""

    def mine(context, request):
        request.response.status_int = context.code
        return {"mine": context.code}

    service.config.add_exception_view(mine, context=HTTPException, renderer="json")
    assert service.get("/debug/error?status=500", status=500).json == {"mine": 500}


@pytest.mark.parametrize(
    "given", ["", "200", "302", "399", "600", "499", "-500", "x", "5e2", "99999999999999999999999999999999"]
)
@pytest.mark.parametrize("view", ["error", "headers"])
def test_no_error_status(service, view, given):
    """A number that is no error status is a 400 which says so."""
    if view == "headers" and not given:
        assert service.get("/debug/headers?status=", status=200)
        return
    message = service.get(f"/debug/{view}?status={given}", status=400).json["message"]
    assert message.startswith("status must be")


def test_time_is_public(service):
    """Everybody may know what time it is; all four ways of telling it agree."""
    before = time.time()
    found = service.app.get("/c2c/debug/time").json
    assert before - 1 <= found["epoch"] <= time.time() + 1
    assert set(found) == {"local_time", "gmt_time", "epoch", "timezone"}
    assert found["gmt_time"][:16] == time.strftime("%Y-%m-%d %H:%M", time.gmtime(found["epoch"]))
    assert found["local_time"][:16] == time.strftime("%Y-%m-%d %H:%M", time.localtime(found["epoch"]))
    assert found["timezone"] == time.tzname[time.localtime().tm_isdst]


def test_all_others_are_for_operators(service):
    """Without the secret every other view is a 403."""
    for name in ("stacks", "memory_maps", "sleep?time=0", "headers", "error"):
        service.app.get(f"/c2c/debug/{name}", status=403)


def test_off_by_default(make_service):
    """Without the setting there is no view at all."""
    service = make_service(**{"c2c.debug_view_enabled": ""})
    for name in ("stacks", "memory_maps", "sleep?time=0", "headers", "error", "time"):
        service.get(f"/debug/{name}", status=404)


def test_including_twice_changes_nothing(service):
    """An application that includes the package itself, and by another one, starts."""
    service.config.include("c2c_debug")
    service.config.commit()
    service.config.include("c2c_debug")
    assert service.get("/debug/time").json["epoch"]
