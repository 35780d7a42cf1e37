"""Try c2c-health."""

import tempfile
from pathlib import Path
from typing import Any

from call import NOBODY, configure, get

from c2c_health import HealthCheck


def alone() -> None:
    """Run a check of one's own and one of a URL that does not answer."""
    config = configure("c2c_health")
    checks = HealthCheck(config)
    checks.add_custom_check("disk", lambda _: {"free": 42}, level=1)
    checks.add_url_check(f"http://{NOBODY}/", name="away", level=2)
    app = config.make_wsgi_app()
    answer = get(app, "/c2c/health_check?max_level=1")
    assert (answer.status, answer.json["successes"]["disk"]["result"]) == (200, {"free": 42}), answer
    answer = get(app, "/c2c/health_check?max_level=2")
    assert (answer.status, list(answer.json["failures"])) == (500, ["away"]), answer
    assert get(app, "/c2c/health/live").status == 200


def _session() -> Any:
    from sqlalchemy import create_engine
    from sqlalchemy.orm import sessionmaker
    from sqlalchemy.pool import StaticPool

    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    return sessionmaker(engine)


def sql() -> None:
    """Check a database."""
    from sqlalchemy import text

    config = configure("c2c_health")
    HealthCheck(config).add_db_session_check(_session(), query_cb=lambda session: session.scalar(text("SELECT 42")))
    answer = get(config.make_wsgi_app(), "/c2c/health_check")
    assert (answer.status, list(answer.json["successes"])) == (200, ["db_engine_sqlalchemy"]), answer


def alembic() -> None:
    """Check migrations, of which there are none."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import text

    session = _session()
    with session.begin() as opened:
        opened.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
    with tempfile.TemporaryDirectory() as folder:
        ini = Path(folder, "alembic.ini")
        command.init(Config(ini), f"{folder}/migrations")
        config = configure("c2c_health")
        HealthCheck(config).add_alembic_check(session, str(ini), level=1)
        answer = get(config.make_wsgi_app(), "/c2c/health_check")
    (name,) = answer.json["successes"]
    assert (answer.status, name.startswith("alembic_")) == (200, True), answer


def redis() -> None:
    """Check a Redis that does not answer."""
    config = configure("c2c_health")
    HealthCheck(config).add_redis_check(f"redis://{NOBODY}", name="redis")
    answer = get(config.make_wsgi_app(), "/c2c/health_check")
    assert (answer.status, list(answer.json["failures"])) == (500, ["redis"]), answer
    assert "refused" in answer.text, answer
