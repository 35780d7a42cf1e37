"""The README's tables are what the settings classes say; bad values are named."""

import re
from pathlib import Path

import pytest

from c2c_broadcast import ConfigurationError, declarations, load
from c2c_logging import HandlerSettings, LoggingSettings

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.parametrize("cls", [LoggingSettings, HandlerSettings])
def test_the_readme_has_each_setting(cls):
    """Variable, key, default and help, word by word."""
    rows = {
        cells[0]: cells[1:] for cells in (re.findall(r"[^|]+", line) for line in README.splitlines()) if len(cells) > 3
    }
    rows = {name.strip(" `"): [cell.strip() for cell in cells] for name, cells in rows.items()}
    for declaration, default in declarations(cls).values():
        key, shown, text = rows[declaration.env]
        assert key.strip("`") == (declaration.key or "")
        assert shown.strip("`") == ({None: "none", False: "false"}.get(default, str(default)))
        assert text == declaration.help


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("C2C_LOG_VIEW_ENABLED", "maybe"),
        ("C2C_REQUESTS_DEFAULT_TIMEOUT", "soon"),
        ("C2C_REQUESTS_DEFAULT_TIMEOUT", "0"),
        ("C2C_REQUESTS_DEFAULT_TIMEOUT", "-1"),
        ("C2C_REQUESTS_DEFAULT_TIMEOUT", "nan"),
        ("C2C_SQL_REQUEST_ID", "2"),
    ],
)
def test_bad_values_are_named(name, value):
    """Variable and value."""
    with pytest.raises(ConfigurationError, match=f"{name}.*{value}"):
        load(LoggingSettings, {}, {name: value})
