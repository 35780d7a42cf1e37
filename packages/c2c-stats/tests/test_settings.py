"""Settings: what can't be read stops the start-up, and the README's table says what the dataclass does."""

import re
from pathlib import Path

import pytest

import c2c_stats as stats
from c2c_broadcast import ConfigurationError, declarations
from c2c_stats._settings import Address, parse_address

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("localhost:8125", Address(host="localhost", port=8125)),
        ("172.17.0.1:8125", Address(host="172.17.0.1", port=8125)),
        ("[::1]:8125", Address(host="::1", port=8125)),
        ("unix:///run/statsd.sock", Address(path="/run/statsd.sock")),
    ],
)
def test_addresses(raw, expected):
    """The three forms of an address; each is written as it was read."""
    assert parse_address(raw) == expected
    assert str(parse_address(raw)) == raw


@pytest.mark.parametrize(
    "raw", ["localhost", "localhost:", ":8125", "localhost:0", "localhost:99999", "::1:8125", "unix://x", "a b:1"]
)
def test_bad_addresses_stop_the_start(raw):
    """An address without port, or no address at all, is named with the remedy."""
    with pytest.raises(ConfigurationError, match=r"c2c\.statsd_address.*host:8125"):
        stats.init_backends({"c2c.statsd_address": raw})


@pytest.mark.parametrize(
    "settings",
    [
        {"c2c.stats_view": "perhaps"},
        {"c2c.statsd_flush_interval": "-1"},
        {"c2c.statsd_flush_interval": "nan"},
        {"c2c.statsd_flush_interval": "inf"},
        {"c2c.prometheus_prefix": "1-x"},
        {"c2c.prometheus_buckets": "a,b"},
        {"c2c.prometheus_buckets": "-1,2"},
        {"c2c.metrics_path": "/{x}"},
    ],
)
def test_bad_settings_are_named(settings):
    """Every other bad value names its key."""
    with pytest.raises(ConfigurationError, match=next(iter(settings)).replace(".", r"\.")):
        stats.init_backends(settings)


def test_environment_wins(monkeypatch):
    """The environment wins over the ini file; init_backends reads both."""
    monkeypatch.setenv("STATS_VIEW", "on")
    stats.init_backends({"c2c.stats_view": "false"})
    assert list(stats.BACKENDS) == ["memory"]
    monkeypatch.delenv("STATS_VIEW")
    stats.init_backends()
    assert not stats.BACKENDS


def test_readme_has_the_settings():
    """The README's table of settings is the dataclass."""
    rows = dict(re.findall(r"^\| `([A-Z0-9]+_[A-Z0-9_]+(?:\{name\})?)` \| (.*) \|$", README.read_text(), re.MULTILINE))
    for declaration, default in declarations(stats.StatsSettings).values():
        name = declaration.env + ("{name}" if declaration.prefix else "")
        key = declaration.key + ("{name}" if declaration.prefix else "")
        shown = f"`{', '.join(map(str, default))}`" if isinstance(default, tuple) else f"`{default}`"
        shown = {"`None`": "none", "``": "none", "`{}`": "none"}.get(shown, shown).replace("True", "true")
        shown = shown.replace("False", "false")
        assert rows.pop(name) == f"`{key}` | {shown} | {declaration.help}"
    assert not rows
