"""Maintenance mode: everyone on the replica side, in every process, over restarts; writes are 503."""

import time

import pytest

from c2c_broadcast import broadcast, sections
from c2c_db._database import application_of

_SETTINGS = {"c2c.secret": "a-secret-for-operators", "c2c.db_maintenance_view_enabled": "true"}
_HEADERS = {"X-API-Key": "a-secret-for-operators"}
_PATH = "/c2c/db/maintenance"


@pytest.fixture(autouse=True)
def _normal_again():
    yield
    from c2c_broadcast.shared_state import SharedState

    SharedState("c2c_db.maintenance").reset("readonly")
    broadcast.close()


def test_switching(urls, notes, new_service):
    """The view says null, then what was set; all go to the replica, where a write is a 503 with Retry-After."""
    service = new_service(notes, **urls(), **_SETTINGS)
    app = service.app
    assert app.get(_PATH, headers=_HEADERS).json == {"status": 200, "current_readonly": None}
    assert app.get(f"{_PATH}?readonly=true", headers=_HEADERS).json == {"status": 200, "readonly": True}
    assert app.get(_PATH, headers=_HEADERS).json == {"status": 200, "current_readonly": True}
    assert app.get("/notes").json["server"] == "replica"
    answer = app.post("/notes", status=503)
    assert answer.headers["Retry-After"] == "60"
    assert answer.json == {"message": "The service is read-only for maintenance: write again later", "status": 503}
    assert app.get(f"{_PATH}?readonly=false", headers=_HEADERS).json == {"status": 200, "readonly": False}
    assert app.get(_PATH, headers=_HEADERS).json == {"status": 200, "current_readonly": False}
    assert app.post("/notes").json["server"] == "primary"


def test_one_server(pair, urls, notes, new_service):
    """With one server and without enforcement, maintenance is read-only all the same."""
    more = {"sqlalchemy_slave.url": "", "c2c.db.enforce_readonly": "false"}
    service = new_service(notes, **urls(**more), **_SETTINGS)
    service.app.post(_PATH, {"readonly": "true"}, headers=_HEADERS)
    service.app.post("/notes", status=503)
    service.app.get("/notes")
    service.app.post(_PATH, {"readonly": "false"}, headers=_HEADERS)
    service.app.post("/notes")


def test_reads_afterwards(urls, notes, new_service, driver):
    """Without enforcement a standby is read after a maintenance as before: connections go back to its own default."""
    service = new_service(notes, **urls(driver, **{"c2c.db.enforce_readonly": "false"}), **_SETTINGS)
    service.app.post(_PATH, {"readonly": "true"}, headers=_HEADERS)
    assert service.app.get("/notes").json["server"] == "replica"
    service.app.post(_PATH, {"readonly": "false"}, headers=_HEADERS)
    assert service.app.get("/notes").json["server"] == "replica"


def test_ttl_and_reason(urls, notes, new_service, until, caplog):
    """After its ttl the mode ends by itself; the reason is logged, and Retry-After says how long it lasts."""
    service = new_service(notes, **urls(), **_SETTINGS)
    service.app.get(f"{_PATH}?readonly=true&ttl=600&reason=moving%0A+disks", headers=_HEADERS)
    answer = service.app.post("/notes", status=503)
    assert 60 < int(answer.headers["Retry-After"]) <= 600
    assert "Database maintenance mode is on: read-only: moving disks" in caplog.messages
    assert application_of(service.config.registry).maintenance.state.entries()["readonly"].reason == "moving disks"
    service.app.get(f"{_PATH}?readonly=true&ttl=1", headers=_HEADERS)
    until(lambda: service.app.post("/notes", status="*").status_int == 200)
    assert service.app.get(_PATH, headers=_HEADERS).json["current_readonly"] is None


@pytest.mark.parametrize(
    "query",
    [
        "readonly=perhaps",
        "readonly=",
        "readonly=true&ttl=soon",
        "readonly=true&ttl=-1",
        "readonly=true&ttl=nan",
        "readonly=true&ttl=1e300",
        "readonly=true&reason=%1b[31mred",
        f"readonly=true&reason={'long+' * 101}",
    ],
)
def test_bad_input(urls, notes, new_service, query):
    """What can't be understood is a 400 that names the parameter, and changes nothing."""
    service = new_service(notes, **urls(), **_SETTINGS)
    answer = service.app.get(f"{_PATH}?{query}", headers=_HEADERS, status=400)
    assert answer.json["message"].startswith(("readonly", "ttl", "reason"))
    assert service.app.get(_PATH, headers=_HEADERS).json["current_readonly"] is None


def test_a_query_that_nobody_can_read(urls, notes, new_service):
    """It is refused, and changes nothing."""
    service = new_service(notes, **urls(), **_SETTINGS)
    for query in ("readonly=%ff", "readonly=true&ttl=%ff", "%ff"):
        assert service.app.get(f"{_PATH}?{query}", headers=_HEADERS, status=400).json["message"]
    assert service.app.get(_PATH, headers=_HEADERS).json["current_readonly"] is None


def test_closed(urls, notes, new_service):
    """It is for operators, and not there unless it is enabled."""
    service = new_service(notes, **urls(), **_SETTINGS)
    service.app.get(_PATH, status=403)
    service.app.get(f"{_PATH}?readonly=true", status=403)
    disabled = new_service(notes, **urls(), **{"c2c.secret": "a-secret-for-operators"})
    told = disabled.app.get(_PATH, headers=_HEADERS, status=404).json["message"]
    assert told == "/c2c/db/maintenance is off: set C2C_DB_MAINTENANCE_VIEW_ENABLED"
    disabled.app.get(_PATH, status=404)


def test_section(urls, notes, new_service):
    """The index page has its section where the view is enabled, for operators, whoever knows them."""
    found = {section.name: section for section in sections(new_service(notes, **urls(), **_SETTINGS).config.registry)}
    assert found["db_maintenance"].operators_only
    disabled = new_service(notes, **urls(), **{"c2c.secret": "a-secret-for-operators"})
    assert "db_maintenance" not in [section.name for section in sections(disabled.config.registry)]


def test_waits_for_the_replica_side(pair, urls, notes, new_service):
    """With the replica down, reads in maintenance fall over to the primary, read-only."""
    service = new_service(notes, **urls(), **_SETTINGS)
    with pair.replica.down():
        service.app.get(f"{_PATH}?readonly=true", headers=_HEADERS)
        time.sleep(0.1)
        assert service.app.get("/notes").json["server"] == "primary"
        service.app.post("/notes", status=503)
