"""Errors of databases in JSON, by the one error view, where both packages are included."""

import logging

import pytest
from pyramid.config import Configurator
from webtest import TestApp

from c2c_db import MaintenanceError, create_session


@pytest.fixture
def app() -> TestApp:
    """Give an application with a database that is not there."""
    config = Configurator()
    config.include("c2c_meta")
    session = create_session(config, "away", "postgresql+psycopg2://u:canary-pw@127.0.0.1:1/d")

    def read(request: object) -> dict[str, object]:
        return {"one": session.connection().exec_driver_sql("SELECT 1").scalar()}

    def maintained(request: object) -> None:
        raise MaintenanceError("The database takes no writes: work on it", 7)

    for name, view in (("read", read), ("maintained", maintained)):
        config.add_route(name, f"/{name}")
        config.add_view(view, route_name=name, renderer="json")
    return TestApp(config.make_wsgi_app())


def test_a_database_that_is_away_is_a_503(app: TestApp, caplog: pytest.LogCaptureFixture) -> None:
    """One record, Retry-After, CORS headers, problem+json where it is wanted, and no password."""
    caplog.set_level(logging.INFO)
    response = app.get("/read", status=503)
    assert int(response.headers["Retry-After"]) > 0
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.json["status"] == 503
    assert "canary-pw" not in response.text + caplog.text
    assert len([record for record in caplog.records if "status code 503" in record.getMessage()]) == 1
    problem = app.get("/read", headers={"Accept": "application/problem+json"}, status=503)
    assert problem.content_type == "application/problem+json"


def test_maintenance_says_when_to_come_back(app: TestApp) -> None:
    """c2c-db's own exceptions carry status and Retry-After as data."""
    response = app.get("/maintained", status=503)
    assert response.headers["Retry-After"] == "7"
    assert response.json["message"] == "The database takes no writes: work on it"
