"""c2c-test-print, the real command, against a server that answers as MapFish Print does."""

import json

import pytest

CACHED = {"Cache-Control": "max-age=3600", "Content-Type": "application/json; charset=utf-8"}
NOT_CACHED = {"Cache-Control": "no-cache, no-store", "Content-Type": "application/json; charset=utf-8"}
SPEC = {"layout": "A4 portrait", "attributes": {"map": {"scale": 25000}}}
PDF = b"%PDF-1.5 ..."


@pytest.fixture
def server(http_sink):
    """Give a print server with two apps, one of which has an example."""
    http_sink.answer("/print/apps.json", json=["default", "parcel"], headers=CACHED)
    for app in ("default", "parcel"):
        http_sink.answer(f"/print/{app}/capabilities.json", json={"app": app, "formats": ["pdf"]}, headers=CACHED)
        http_sink.answer(f"/print/{app}/exampleRequest.json", body="{}", headers={"Cache-Control": "max-age=3600"})
    http_sink.answer("/print/parcel/exampleRequest.json", json={"two pages": json.dumps(SPEC)}, headers=CACHED)
    http_sink.answer("/print/parcel/report.pdf", method="POST", json={"ref": "a@b"}, headers=NOT_CACHED)
    http_sink.answer("/print/status/a@b.json", json={"done": True, "status": "finished"}, headers=NOT_CACHED)
    running = {"done": False, "status": "running"}
    http_sink.answer("/print/status/a@b.json", json=running, headers=NOT_CACHED, times=2)
    report = {"Cache-Control": "no-cache", "Content-Type": "application/pdf"}
    http_sink.answer("/print/report/a@b", body=PDF, headers=report)
    return http_sink


@pytest.fixture
def printing(folder, server):
    """Return a function that runs the command against the stand-in."""
    return lambda *arguments: folder.call("c2c-test-print", f"--url={server.url}/print/", *arguments)


@pytest.mark.parametrize("app", [[], ["--app=parcel"]])
def test_prints(printing, server, app):
    """Each example of each app is printed."""
    done = printing("--verbose", *app)
    assert done.returncode == 0, done.stderr
    shown, printed = done.stdout.splitlines()
    assert shown == f"parcel two pages: {json.dumps(SPEC)}"
    assert printed.startswith(f"parcel two pages: {len(PDF)} bytes in ")
    (job,) = [request for request in server.requests if request.method == "POST"]
    assert job.json() == SPEC


def test_as_six_has_it(printing, server):
    """An ini file may be named, and who asks is said to the print server."""
    assert printing("production.ini", "--referrer", "https://map.example.com/").returncode == 0
    assert {request.headers["referer"] for request in server.requests} == {"https://map.example.com/"}


def test_waits(printing, server):
    """A server that is just starting is waited for."""
    server.answer("/print/apps.json", status=503, times=2)
    server.answer("/print/parcel/capabilities.json", status=500, times=2)
    assert printing().returncode == 0


def test_failure(printing, server):
    """What the print server says of a report that it can't make is one line; exit status 1."""
    failed = {"done": True, "status": "error", "error": "No layer at https://user:hunter2@wms"}
    server.answer("/print/status/a@b.json", json=failed, headers=NOT_CACHED)
    done = printing()
    assert done.returncode == 1
    assert done.stderr.startswith("c2c-test-print: parcel two pages: The print job a@b is error: No layer at https://")
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr


def test_no_server(printing, server):
    """A server that is not there is one line, once the time is over; exit status 2."""
    with server.down():
        done = printing("--timeout=1")
    assert done.returncode == 2
    assert done.stderr.startswith("c2c-test-print: get_apps still raised ConnectionError")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("argument", "expected"),
    [("--app=default", "/print/ has no examples to print"), ("--timeout=soon", "invalid float value: 'soon'")],
)
def test_mistakes(printing, argument, expected):
    """What can't be done is one line; exit status 2."""
    done = printing(argument)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
