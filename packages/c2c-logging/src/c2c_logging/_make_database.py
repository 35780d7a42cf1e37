"""Creating a database that is absent."""

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy_utils import create_database, database_exists

_MAINTENANCE = "postgres"


def make_database(url: URL) -> bool:
    """Create the database of a URL; False where it was there.

    On PostgreSQL by hand: SQLAlchemy-Utils takes a server that is starting for one without the database, and leaves a
    connection open when it then can't create it.

    Raises:
        SQLAlchemyError: The server is away, or does not let this user.
    """
    if url.get_backend_name() != "postgresql":
        if database_exists(url):
            return False
        create_database(url)
        return True
    engine = sa.create_engine(url.set(database=_MAINTENANCE), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        if _is_there(connection, url.database):
            return False
        name = connection.dialect.identifier_preparer.quote_identifier(str(url.database))
        try:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        except DBAPIError:
            # Another process may have been faster.
            if not _is_there(connection, url.database):
                raise
    return True


def _is_there(connection: Connection, name: str | None) -> bool:
    return bool(connection.scalar(sa.text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}))
