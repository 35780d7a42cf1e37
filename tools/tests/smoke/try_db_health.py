"""Try c2c-db and c2c-health in one application."""

from call import configure, get

from c2c_db import create_session
from c2c_health import HealthCheck


def together() -> None:
    """Check the database of a session."""
    config = configure("c2c_db")
    config.include("c2c_health")
    session = create_session(config, "db", "sqlite://")
    HealthCheck(config).add_db_session_check(session)
    answer = get(config.make_wsgi_app(), "/c2c/health_check")
    assert answer.status == 200, answer
    assert any(name.startswith("db_engine_") for name in answer.json["successes"]), answer
