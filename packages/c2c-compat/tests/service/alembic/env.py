"""alembic's environment, set up as the documentation said."""

import os

from alembic import context
from parcels.models import Base
from sqlalchemy import create_engine, text

import c2cwsgiutils.setup_process  # noqa: F401

section = context.config.get_section(context.config.config_ini_section)
engine = create_engine(os.environ["SQLALCHEMY_URL"])
with engine.begin() as connection:
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS parcels"))
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=section["version_table"],
        version_table_schema=section["version_table_schema"],
    )
    with context.begin_transaction():
        context.run_migrations()
