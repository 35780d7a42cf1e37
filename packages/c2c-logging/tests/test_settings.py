"""The README's tables are what the settings classes say; bad values are named."""

from pathlib import Path

import pytest

from c2c_broadcast import ConfigurationError, declarations, load
from c2c_logging import HandlerSettings, LoggingSettings, ScriptSettings

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.parametrize("cls", [LoggingSettings, HandlerSettings, ScriptSettings])
def test_the_readme_has_each_setting(cls):
    """Variable, key, default and help, word by word."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in README.splitlines() if line.startswith("| `")]
    rows = {cells[0].strip("`"): cells[1:] for cells in lines if len(cells) == 4}
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
