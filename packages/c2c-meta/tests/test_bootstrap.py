"""``bootstrap`` in scripts."""

import pytest

SCRIPT = """
import logging
from c2c_meta._bootstrap import bootstrap
for uri in {uris}:
    with bootstrap(uri) as env:
        logging.getLogger("script").info("x is %s", env["registry"].settings["x"])
        print(env["request"].route_url("hello"))
"""
BUILT = ["WARNING|tiny|tiny is built", "INFO|script|x is a%b", "http://localhost/hello"]


@pytest.fixture(scope="module")
def lines(shared_folder):
    """What a script prints that names its ini file in four ways, one after the other."""
    shared_folder.setting("x = %(TINY_X)s")
    uris = ["production.ini", "c2c://production.ini", "production.ini#main", ""]
    out = shared_folder.python(SCRIPT.format(uris=uris), TINY_X="a%b", C2CWSGIUTILS_CONFIG="production.ini")
    return [line.split("|", 2)[2] if line.startswith("INI|") else line for line in out.splitlines()]


def test_bootstrap(lines):
    """A script has logging before its application is imported, the settings, and a request to make URLs with."""
    assert lines[:4] == ["WARNING|tiny|tiny is imported", *BUILT]


def test_addresses(lines):
    """The file is named by its path, by an address, with a section, or by the environment."""
    assert lines[1:] == BUILT * 4


def test_missing(folder):
    """A script whose ini file is missing ends with a line that names it."""
    done = folder.run("python", "-c", SCRIPT.format(uris=["nowhere.ini"]))
    assert done.stderr.strip().endswith(f"c2c_meta._ini.IniError: {folder.path}/nowhere.ini: no such file")


FAILING = """
import c2c_meta as c2c
with c2c.bootstrap("production.ini") as env:
    c2c.increment_counter(["script"], tags={"include": "%s"})
    raise ValueError("no luck today")
"""


@pytest.mark.parametrize("include", ["", "c2c_meta"])
def test_errors_and_metrics(folder, sentry_sink, statsd_sink, include):
    """A script has Sentry and metrics as the service has, whatever its application includes."""
    folder.setting(f"pyramid.includes = {include}\nc2c.sentry.url = {sentry_sink.dsn}")
    done = folder.run("python", "-c", FAILING % include, STATSD_ADDRESS=statsd_sink.address)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("ValueError: no luck today")
    (event,) = sentry_sink.wait_events(1)
    assert "no luck today" in str(event)
    statsd_sink.wait("script")


@pytest.mark.parametrize("exclude", ["c2c_sentry", "c2c_stats"])
def test_excluded(folder, exclude):
    """What is left out is left out of scripts, too."""
    folder.setting(f"c2c.exclude = {exclude}\nc2c.sentry.url = http://key@127.0.0.1:1/1\nc2c.stats_view = true")
    code = (
        "import c2c_meta as c2c\n"
        "with c2c.bootstrap('production.ini'): pass\n"
        "import sys; print('sentry_sdk' in sys.modules, bool(c2c.BACKENDS))"
    )
    found = folder.python(code).splitlines()[-1]
    assert found == f"{'c2c_sentry' not in exclude} {'c2c_stats' not in exclude}"
