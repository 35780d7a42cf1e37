"""Run the migrations on the primary that ``SQLALCHEMY_URL`` names, in a transaction."""

import os

from acceptance_app.models import Base
from alembic import context

from c2c_db import create_session


def run() -> None:
    """Connect, by whichever driver is installed, and migrate."""
    engine = create_session(None, "migrations", os.environ["SQLALCHEMY_URL"]).c2c_rw_bind
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
