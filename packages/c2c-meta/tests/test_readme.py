"""The README says what is."""

import re
from pathlib import Path

import pytest

from c2c_broadcast import declarations
from c2c_meta._coverage import CoverageSettings
from c2c_meta._glue import MetaSettings
from c2c_meta._run import CONFIG, DEFAULT_CONFIG, DEFAULT_PARAMS, PARAMS

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.parametrize("cls", [MetaSettings, CoverageSettings])
def test_settings(cls):
    """The tables of settings are those of the settings classes."""
    place = rf"<!-- settings: {re.escape(cls.__module__)}\.{cls.__name__} -->\n.*?\n.*?\n(.*?)<!-- end -->"
    rows = [row.split(" | ") for row in re.search(place, README, re.DOTALL)[1].splitlines()]
    declared = [declaration for declaration, _ in declarations(cls).values()]
    assert [(row[0], row[-1]) for row in rows] == [(f"| `{one.env}`", f"{one.help} |") for one in declared]


def test_command():
    """So is that of c2c-run."""
    assert f"| `{CONFIG}` | `{DEFAULT_CONFIG}` |" in README
    assert f"| `{PARAMS}` | `{DEFAULT_PARAMS}` |" in README


def test_options(folder):
    """Each option of a command is explained, and none that it has not."""
    help_text = folder.call("c2c-test-print", "--help").stdout
    section = next(part for part in README.split("\n## ") if "`c2c-test-print " in part)
    given = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", help_text)) - {"--help", "--version"}
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", section))
    assert told == given
