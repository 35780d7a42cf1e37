"""``postgresql://`` is psycopg2, whatever SQLAlchemy's choice of today."""

import subprocess
import sys

import pytest


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
