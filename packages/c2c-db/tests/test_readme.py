"""The README says what is."""

import re
from pathlib import Path

from c2c_broadcast import declarations
from c2c_db import DbSettings

_README = (Path(__file__).parent.parent / "README.md").read_text()


def _shown(default):
    if default is None:
        return "none"
    if isinstance(default, float):
        return f"{default:g}"
    return str(default).lower() if isinstance(default, bool) else f"`{default}`"


def test_settings():
    """The table of settings is that of the settings class."""
    table = re.search(r"<!-- settings -->\n.*?\n.*?\n(.*?)<!-- end -->", _README, re.DOTALL)[1].splitlines()
    assert table == [
        f"| `{one.env}` | `{one.key}` | {_shown(default)} | {one.help} |"
        for one, default in declarations(DbSettings).values()
    ]


def test_example(tmp_path):
    """The example runs, with files in the place of servers."""
    from webtest import TestApp

    code = re.search(r"```python\n(.*?)```", _README, re.DOTALL)[1]
    for name in ("primary", "replica"):
        code = code.replace(f"postgresql://user:password@{name}/app", f"sqlite:///{tmp_path}/{name}")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert TestApp(names["app"]).get("/hello").json == "hello"
