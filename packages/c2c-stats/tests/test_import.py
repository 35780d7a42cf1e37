"""Importing does nothing, and brings nothing that is not used."""

import subprocess
import sys

PROGRAM = """
import sys, threading, os
before = set(threading.enumerate())
import c2c_stats
heavy = {"sqlalchemy", "requests", "redis", "prometheus_client"} & set(sys.modules)
assert not heavy, heavy
from pyramid.config import Configurator
config = Configurator()
config.include("c2c_stats")
config.make_wsgi_app()
heavy = {"sqlalchemy", "requests", "redis"} & set(sys.modules)
assert not heavy, heavy
assert set(threading.enumerate()) == before
"""


def test_import_is_light():
    """Neither the import nor an application brings SQLAlchemy, requests or redis, or starts a thread."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)


WAITS = """
import importlib.util, sys
import c2c_stats as stats
stats.init_backends({"c2c.stats_view": "true"})
assert importlib.util.find_spec("requests") is not None
assert "requests" not in sys.modules
import requests, redis, sqlalchemy
from requests.adapters import HTTPAdapter
from sqlalchemy.engine.default import DefaultDialect
for method in (HTTPAdapter.send, redis.Redis.execute_command, DefaultDialect.do_commit):
    assert hasattr(method, "_c2c_stats_original"), method
assert type(requests.__spec__.loader).__name__ == "SourceFileLoader"
assert type(requests.__loader__).__name__ == "SourceFileLoader"
import importlib.resources
assert importlib.resources.files("requests").joinpath("__init__.py").is_file()
"""


def test_libraries_imported_later_are_watched():
    """A library that the application imports after the configuration is watched from then on."""
    subprocess.run([sys.executable, "-c", WAITS], check=True, timeout=120)
