"""``import c2c_meta as c2c``: every package under its short name, and every public name of each."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import c2c_meta as c2c
from c2c_meta._names import OPTIONAL_PACKAGES, OWN_NAMES, PACKAGES

ALL = {package.removeprefix("c2c_"): package for package in (*PACKAGES, *OPTIONAL_PACKAGES)}
# Names of several packages -> whose they are here: the first one's in the order of inclusion.
CLASHES = {"State": "c2c_db", "includeme": "c2c_meta", "init": "c2c_logging"}


@pytest.mark.parametrize("short", ALL)
def test_short_names(short):
    """Each package has its short name."""
    assert getattr(c2c, short) is importlib.import_module(f"c2c_{short}")


@pytest.mark.parametrize("package", ALL.values())
def test_complete(package):
    """Each public name of a package is here and means the same, but for the clashes that are decided on."""
    module = importlib.import_module(package)
    for name in module.__all__:
        owner = importlib.import_module(CLASHES.get(name, package))
        here, there = getattr(c2c, name), getattr(owner, name)
        assert here is there or (isinstance(there, str) and here == there), name


def test_clashes():
    """The clashes are those that are decided on; no short name hides a public one."""
    holders = {}
    for package in ALL.values():
        for name in importlib.import_module(package).__all__:
            holders.setdefault(name, []).append(package)
    for name in OWN_NAMES:
        holders.setdefault(name, []).insert(0, "c2c_meta")
    assert {name: found[0] for name, found in holders.items() if len(found) > 1} == CLASHES
    assert not {*holders} & {*ALL}


def test_others_of_a_clash():
    """What another package's name stands for is read from its package."""
    assert c2c.health.State is not c2c.db.State is c2c.State
    assert c2c.init is c2c.logging.init


def test_unknown():
    """Another name is no attribute; nor is one that begins with an underscore."""
    for name in ("no_such_name", "_no_such_name", "__wrapped__"):
        with pytest.raises(AttributeError, match=name):
            getattr(c2c, name)
    with pytest.raises(ImportError):
        from c2c_meta import no_such_name  # noqa: F401


CHEAP = """
import sys
import c2c_meta as c2c
loaded = {name for name in sys.modules if name.startswith(("c2c_", "pyramid", "sqlalchemy", "gunicorn"))}
assert loaded == {"c2c_meta", "c2c_meta._names"}, loaded
c2c.timer_context
print(*sorted(name for name in sys.modules if name.startswith("c2c_") and "." not in name))
"""


def test_cheap(folder):
    """Importing it imports nothing; reading a name imports the package that it is of."""
    assert folder.python(CHEAP) == "c2c_broadcast c2c_meta c2c_stats\n"


NO_TESTING = """
import sys
sys.modules["c2c_testing"] = None  # as if it were not installed
import c2c_meta as c2c
for name in ("testing", "Connection"):
    try:
        getattr(c2c, name)
    except AttributeError as error:
        print(error)
"""


def test_without_the_extra(folder):
    """Names of c2c-testing say with which extra they come."""
    out = folder.python(NO_TESTING).splitlines()
    assert len(out) == 2
    assert all("pip install 'c2c-meta[testing]'" in line for line in out)


def test_types():
    """Type checkers see the same: every package's names by a star, in an order that decides the clashes as here."""
    tree = ast.parse(Path(inspect.getfile(c2c)).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    stars = [node.module for node in imports if node.names[0].name == "*"]
    assert stars == list(ALL.values())
    assert {alias.name: node.module for node in imports for alias in node.names if alias.name != "*"} == OWN_NAMES
    assert {*c2c.__all__} == {*OWN_NAMES, *(name.removeprefix("c2c_") for name in PACKAGES)}
