"""``postgresql://`` means psycopg2, as it did: SQLAlchemy 2.1 would read it as psycopg 3."""

from importlib.util import find_spec

from sqlalchemy.dialects import registry
from sqlalchemy.engine import make_url


def keep_driver() -> None:
    """Have URLs without a driver mean psycopg2 in this process, where it is installed; others are as they are.

    For engines that services make themselves, in alembic's ``env.py`` above all. Doing it again changes nothing.
    """
    if make_url("postgresql://").get_dialect().driver != "psycopg2" and find_spec("psycopg2"):
        registry.register("postgresql", "sqlalchemy.dialects.postgresql.psycopg2", "dialect")
