"""``bootstrap`` in scripts."""

import pytest

SCRIPT = """
import logging
from c2c_meta._bootstrap import bootstrap
with bootstrap({uri}) as env:
    logging.getLogger("script").info("x is %s", env["registry"].settings["x"])
    print(env["request"].route_url("hello"))
"""


@pytest.mark.parametrize("uri", ["production.ini", "c2c://production.ini", "production.ini#main", ""])
def test_bootstrap(folder, uri):
    """A script has logging before its application is imported, the settings, and a request to make URLs with."""
    folder.setting("x = %(TINY_X)s")
    out = folder.python(SCRIPT.format(uri=repr(uri)), TINY_X="a%b", C2CWSGIUTILS_CONFIG="production.ini")
    lines = [line.split("|", 2)[2] if line.startswith("INI|") else line for line in out.splitlines()]
    assert lines == [
        "WARNING|tiny|tiny is imported",
        "WARNING|tiny|tiny is built",
        "INFO|script|x is a%b",
        "http://localhost/hello",
    ]


def test_missing(folder):
    """A script whose ini file is missing ends with a line that names it."""
    done = folder.run("python", "-c", SCRIPT.format(uri="'nowhere.ini'"))
    assert done.stderr.strip().endswith(f"c2c_meta._ini.IniError: {folder.path}/nowhere.ini: no such file")
