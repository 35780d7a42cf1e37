"""Try c2c-db."""

from call import NOBODY, add_view, configure, get
from sqlalchemy import text

from c2c_db import create_session


def alone() -> None:
    """Ask a database that needs no driver."""
    config = configure("c2c_db")
    session = create_session(config, "db", "sqlite://")
    add_view(config, lambda _: session.scalar(text("SELECT 42")))
    answer = get(config.make_wsgi_app(), "/try")
    assert (answer.status, answer.json) == (200, 42), answer


def psycopg2() -> None:
    """Answer 503 where PostgreSQL does not answer."""
    config = configure("c2c_db")
    session = create_session(config, "db", f"postgresql://somebody@{NOBODY}/db")
    add_view(config, lambda _: session.scalar(text("SELECT 42")))
    answer = get(config.make_wsgi_app(), "/try")
    assert (answer.status, "Retry-After" in answer.headers) == (503, True), answer
