"""Run the migrations on the primary that ``SQLALCHEMY_URL`` names, in a transaction."""

import os

from acceptance_app.models import Base
from alembic import context
from sqlalchemy import create_engine


def run() -> None:
    """Connect and migrate."""
    engine = create_engine(os.environ["SQLALCHEMY_URL"])
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
