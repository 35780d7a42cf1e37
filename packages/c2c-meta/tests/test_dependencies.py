"""What comes with c2c-meta: all packages with all their extras."""

import re
from importlib.metadata import metadata, requires

import pytest

from c2c_meta._names import PACKAGES

# Those of the developers, and the one that needs more than wheels.
NOT_WANTED = {"test", "linesman"}


def wanted(line):
    """Return name and extras of a requirement."""
    name, extras = re.match(r"([\w.-]+)(?:\[([\w.,-]*)\])?", line).groups()
    return name, {*(extras or "").split(",")} - {""}


@pytest.mark.parametrize("short", [name.removeprefix("c2c_") for name in PACKAGES])
def test_extras(short):
    """Each package is a dependency, with each of its extras."""
    hard = dict(wanted(line) for line in requires("c2c-meta") if "extra ==" not in line)
    assert hard[f"c2c-{short}"] == {*(metadata(f"c2c-{short}").get_all("Provides-Extra") or ())} - NOT_WANTED
