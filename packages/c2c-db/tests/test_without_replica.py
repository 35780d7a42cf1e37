"""A database without a replica, and its primary away."""

import pytest
from pyramid.config import Configurator
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from webtest import TestApp

from c2c_broadcast import ANSWERS_EXCEPTIONS
from c2c_db import create_session

URL = "postgresql+psycopg2://u:p@127.0.0.1:1/d"


def application(config: Configurator) -> TestApp:
    """Return an application with one view that reads."""
    config.include("c2c_db")
    session = create_session(config, "away", URL)
    config.add_route("read", "/read")
    config.add_view(lambda request: {"one": session.connection() and 1}, route_name="read", renderer="json")
    return TestApp(config.make_wsgi_app())


def test_a_script_gets_the_drivers_error() -> None:
    """Nowhere to fail over to: the error is the one of the connection."""
    session = create_session(None, "away", URL)
    with pytest.raises(OperationalError):
        session.connection()


def test_a_request_gets_a_503() -> None:
    """The answer says when to try again, and nothing of where the database is."""
    response = application(Configurator()).get("/read", status=503)
    assert int(response.headers["Retry-After"]) > 0
    assert response.json == {"status": 503, "message": "The database is not reachable at the moment: try again"}


def test_a_database_that_is_no_postgresql_comes_back(tmp_path) -> None:
    """It is not asked whether it is back: a connection tells."""
    config = Configurator()
    session = create_session(config, "later", f"sqlite:///{tmp_path}/later/file")
    config.add_route("read", "/read")
    config.add_view(lambda _request: session.scalar(text("SELECT 1")), route_name="read", renderer="json")
    app = TestApp(config.make_wsgi_app())
    app.get("/read", status=503)
    assert not session.database.primary.available
    (tmp_path / "later").mkdir()
    assert app.get("/read").json == 1
    assert session.database.primary.available


def test_where_another_package_answers_exceptions_ours_keep_away() -> None:
    """The error reaches that package's view as it is."""
    config = Configurator()
    config.registry[ANSWERS_EXCEPTIONS] = True
    app = application(config)
    with pytest.raises(OperationalError):
        app.get("/read")


def test_errors_of_statements_are_the_applications(tmp_path) -> None:
    """An error about a statement is none of ours to answer: a more general view gets it, else the server."""

    def serve(*views) -> TestApp:
        config = Configurator()
        session = create_session(config, "one", f"sqlite:///{tmp_path}/one")
        config.add_route("read", "/read")
        config.add_view(lambda _request: session.execute(text("SELECT nothing")), route_name="read", renderer="json")
        for context in views:
            answer = context.__name__
            config.add_exception_view(lambda _error, _request, answer=answer: answer, context=context, renderer="json")
        return TestApp(config.make_wsgi_app())

    with pytest.raises(OperationalError):
        serve().get("/read")
    assert serve(Exception).get("/read").json == "Exception"
    assert serve(DBAPIError).get("/read").json == "DBAPIError"
    assert serve(Exception, DBAPIError).get("/read").json == "DBAPIError"
