"""The connection to MapFish Print, with a small stand-in for the server that answers as its servlet does."""

import json

import pytest

from c2c_testing.print import PrintConnection

CACHED = {"Cache-Control": "max-age=3600", "Content-Type": "application/json; charset=utf-8"}
NOT_CACHED = {"Cache-Control": "no-cache, no-store", "Content-Type": "application/json; charset=utf-8"}
SPEC = {"layout": "A4 portrait", "attributes": {"map": {"scale": 25000}}}
PDF = b"%PDF-1.5 ..."


@pytest.fixture
def server(http_sink):
    """Give a print server that takes a while for its two apps and for each report."""
    http_sink.answer("/print/apps.json", json=["default", "parcel"], headers=CACHED)
    for app in ("default", "parcel"):
        capabilities = {"app": app, "layouts": [{"name": "A4 portrait"}], "formats": ["pdf", "png"]}
        http_sink.answer(f"/print/{app}/capabilities.json", json=capabilities, headers=CACHED)
    examples = {"boundaries": json.dumps(SPEC)}
    http_sink.answer("/print/parcel/exampleRequest.json", json=examples, headers=CACHED)
    # Without examples there is no content type.
    http_sink.answer("/print/default/exampleRequest.json", body="{}", headers={"Cache-Control": "max-age=3600"})
    job = {"ref": "a@b", "statusURL": "/print/status/a@b.json", "downloadURL": "/print/report/a@b"}
    http_sink.answer("/print/parcel/report.pdf", method="POST", json=job, headers=NOT_CACHED)
    http_sink.answer("/print/status/a@b.json", json={"done": True, "status": "finished"}, headers=NOT_CACHED)
    running = {"done": False, "status": "running", "elapsedTime": 10}
    http_sink.answer("/print/status/a@b.json", json=running, headers=NOT_CACHED, times=2)
    report = {"Cache-Control": "no-cache", "Content-Type": "application/pdf"}
    http_sink.answer("/print/report/a@b", body=PDF, headers=report)
    return http_sink


@pytest.fixture
def connection(server):
    """Give a connection to it."""
    with PrintConnection(f"{server.url}/print", "https://www.example.com") as connection:
        yield connection


def test_what_there_is(connection):
    """Apps, capabilities, and examples as objects; without examples there are none."""
    assert connection.get_apps() == ["default", "parcel"]
    assert connection.get_capabilities("parcel")["formats"] == ["pdf", "png"]
    assert connection.get_capabilities()["app"] == "default"
    assert connection.get_example_requests("parcel") == {"boundaries": SPEC}
    assert connection.get_example_requests() == {}


def test_prints(server, connection):
    """The job is made, waited for and fetched."""
    (spec,) = connection.get_example_requests("parcel").values()
    report = connection.get_pdf("parcel", spec)
    assert (report.content, report.headers["Content-Type"]) == (PDF, "application/pdf")
    made, *polls, fetched = server.requests[1:]
    assert (made.method, made.path, made.json()) == ("POST", "/print/parcel/report.pdf", SPEC)
    assert [request.path for request in polls] == ["/print/status/a@b.json"] * 3
    assert fetched.path == "/print/report/a@b"
    assert "origin" not in made.headers


def test_headers_go_with_each_request(server, connection):
    """A print server behind a log-in gets them for the job, its status and the report."""
    connection.get_pdf("parcel", SPEC, headers={"Authorization": "Bearer x"})
    assert {request.headers.get("authorization") for request in server.requests} == {"Bearer x"}


def test_a_failed_job_says_why(server, connection):
    """The error is the print server's."""
    failed = {"done": True, "status": "error", "error": "No such layer: parcels"}
    server.answer("/print/status/a@b.json", json=failed, headers=NOT_CACHED)
    with pytest.raises(AssertionError, match="The print job a@b is error: No such layer: parcels"):
        connection.get_pdf("parcel", SPEC)


def test_a_refused_request_says_why(server, connection):
    """Status, body and a curl command, as for all connections."""
    server.answer("/print/parcel/report.pdf", status=400, body="layout is missing", headers=NOT_CACHED)
    with pytest.raises(AssertionError, match=r"(?s)Status 400, not 200.*layout is missing.*curl -i -X POST"):
        connection.get_pdf("parcel", {})


def test_a_slow_job_is_cancelled(server, connection):
    """After the time-out the print server is told to stop."""
    server.answer("/print/status/a@b.json", json={"done": False, "status": "waiting"}, headers=NOT_CACHED)
    server.answer("/print/cancel/a@b", method="DELETE", headers=NOT_CACHED)
    with pytest.raises(TimeoutError, match=r"The print job a@b is still waiting after 0\.3 s"):
        connection.get_pdf("parcel", SPEC, timeout=0.3)
    last = server.requests[-1]
    assert (last.method, last.path) == ("DELETE", "/print/cancel/a@b")


def test_a_report_of_another_kind_is_refused(server, connection):
    """An error page with status 200 is no PDF."""
    page = {"Cache-Control": "no-cache", "Content-Type": "text/html"}
    server.answer("/print/report/a@b", body="<html>", headers=page)
    with pytest.raises(AssertionError, match="The print job a@b gave 6 bytes of text/html"):
        connection.get_pdf("parcel", SPEC)


def test_other_formats(server, connection):
    """The format is in the URL, and in the report's content type."""
    server.answer("/print/parcel/report.png", method="POST", json={"ref": "a@b"}, headers=NOT_CACHED)
    image = {"Cache-Control": "no-cache", "Content-Type": "image/png"}
    server.answer("/print/report/a@b", body=b"...", headers=image)
    assert connection.get_pdf("parcel", SPEC, file_format="png").content == b"..."


def test_waits_for_the_app(server, connection):
    """A server that is starting has no such app yet; in the end the error tells what it said."""
    server.answer("/print/parcel/capabilities.json", status=404, body="loading", times=2)
    connection.wait_ready(app="parcel")
    assert len(server.requests) == 3
    server.answer("/print/parcel/capabilities.json", status=404, body="No such app")
    with pytest.raises(TimeoutError, match=r"(?s)still raised AssertionError: Status 404.*No such app.*after 0\.1 s"):
        connection.wait_ready(timeout=0.1, app="parcel")


def test_caching_is_checked(server, connection):
    """The capabilities may be cached; a print server whose proxy forbids it is found out."""
    server.answer("/print/apps.json", json=[], headers=NOT_CACHED)
    with pytest.raises(AssertionError, match="Cache-Control"):
        connection.get_apps()
