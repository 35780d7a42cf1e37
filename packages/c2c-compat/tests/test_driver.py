"""``postgresql://`` is psycopg2, whatever SQLAlchemy's choice of today, and scripts without us have a driver, too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from c2c_testing.servers import Postgres


@pytest.mark.parametrize(
    "code",
    [
        "import c2cwsgiutils.setup_process",
        "import c2cwsgiutils.pyramid; Configurator(settings={}).include(c2cwsgiutils.pyramid.includeme)",
    ],
)
def test_driver(code: str) -> None:
    """A script and a service make their own engines with it; a driver that is named is kept."""
    urls = ("postgresql://u:p@127.0.0.1:1/d", "postgresql+psycopg2://u@h/d", "sqlite://")
    code = f"from pyramid.config import Configurator\n{code}\n{code}\nfrom sqlalchemy import create_engine\n"
    code += f"print([create_engine(url).dialect.driver for url in {urls}])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "['psycopg2', 'psycopg2', 'pysqlite']\n", done.stderr


WAIT = """
import os, sys, time, sqlalchemy
while True:
    try:
        print(sqlalchemy.create_engine(os.environ["SQLALCHEMY_URL"]).connect().scalar(sqlalchemy.text("SELECT 1")))
        break
    except Exception as error:
        print(error, file=sys.stderr)
        time.sleep(1)
assert not [name for name in sys.modules if name.startswith(("c2cwsgiutils", "c2c_"))]
"""


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
def test_scripts_without_us(postgres: Postgres, scheme: str) -> None:
    """What waits for the database by itself connects, whatever SQLAlchemy takes the URL for."""
    own = {**os.environ, "SQLALCHEMY_URL": postgres.url.replace("postgresql", scheme, 1)}
    command = [sys.executable, "-c", WAIT]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "1\n", done.stderr


ENV = """
from alembic import context
from sqlalchemy import engine_from_config
with engine_from_config({"sqlalchemy.url": context.config.get_main_option("sqlalchemy.url")}).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
VERSION = """
from alembic import op
revision, down_revision = "1", None
def upgrade():
    op.execute("CREATE TABLE made_by_alembic (id int)")
"""


def test_alembic_without_us(postgres: Postgres, tmp_path: Path) -> None:
    """Migrations whose environment knows nothing of us are made."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENV)
    (tmp_path / "versions/1.py").write_text(VERSION)
    url = postgres.create_database("of_alembic")
    (tmp_path / "alembic.ini").write_text(f"[alembic]\nscript_location = %(here)s\nsqlalchemy.url = {url}\n")
    command = [Path(sys.executable).parent / "alembic", "upgrade", "head"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert postgres.execute("SELECT count(*) FROM made_by_alembic", database="of_alembic") == [(0,)]
    postgres.drop_database("of_alembic")
