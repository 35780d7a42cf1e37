"""The README says what is."""

import re
from pathlib import Path

from c2c_broadcast import declarations
from c2c_meta._run import CONFIG, DEFAULT_CONFIG, DEFAULT_PARAMS, PARAMS
from c2c_meta._settings import MetaSettings

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_settings():
    """The table of settings is that of the settings class."""
    table = re.search(r"<!-- settings: .*?-->\n.*?\n.*?\n(.*?)<!-- end -->", README, re.DOTALL)[1].splitlines()
    declared = [declaration for declaration, _ in declarations(MetaSettings).values()]
    rows = [f"| `{one.env}` | `{one.key}` | none | {one.help} |" for one in declared]
    assert table == rows


def test_command():
    """So is that of c2c-run."""
    assert f"| `{CONFIG}` | `{DEFAULT_CONFIG}` |" in README
    assert f"| `{PARAMS}` | `{DEFAULT_PARAMS}` |" in README
