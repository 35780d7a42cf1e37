import re
from pathlib import Path

import pytest

from c2c_broadcast import declarations, load
from c2c_rest import ProxySettings, RestSettings

_README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.parametrize("cls", [RestSettings, ProxySettings])
def test_the_readme_has_every_setting(cls):
    """The tables of the README are the settings, in order, with their help."""
    table = re.search(rf"<!-- settings: [\w.]+\.{cls.__name__} -->\n(.*?)<!-- end -->", _README, re.DOTALL)[1]
    rows = [row.split("|") for row in table.splitlines()[2:]]
    assert [(row[1].strip(), row[2].strip(), row[4].strip()) for row in rows] == [
        (f"`{declared.env}`", f"`{declared.key}`", declared.help) for declared, _ in declarations(cls).values()
    ]


def test_defaults():
    """Without settings: exceptions are handled, nobody is a developer, ujson writes, indented and sorted."""
    settings = load(RestSettings, {}, {})
    assert settings.handles_exceptions
    assert not settings.development
    assert (settings.json_engine, settings.json_pretty_print, settings.json_sort_keys) == ("ujson", True, True)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"C2C_DISABLE_EXCEPTION_HANDLING": "1"}, False),
        ({"C2C_DISABLE_EXCEPTION_HANDLING": "false"}, True),
        ({"C2C_ENABLE_EXCEPTION_HANDLING": "0"}, False),
        ({"C2C_ENABLE_EXCEPTION_HANDLING": "1"}, True),
        ({"C2C_ENABLE_EXCEPTION_HANDLING": "1", "C2C_DISABLE_EXCEPTION_HANDLING": "1"}, False),
    ],
)
def test_two_ways_to_say_that_exceptions_are_not_handled(environ, expected):
    """Either variable switches it off; false means false."""
    assert load(RestSettings, {}, environ).handles_exceptions is expected
