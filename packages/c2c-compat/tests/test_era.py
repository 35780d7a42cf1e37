"""Which era a service is of: what says so first."""

import importlib
import logging
import os
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from pyramid.config import Configurator

from c2c_broadcast import ConfigurationError, declarations, load
from c2c_compat import _era
from c2cwsgiutils import db
from c2cwsgiutils.pyramid import includeme

INI_OF_THREE = """
[pipeline:main]
pipeline = egg:c2cwsgiutils#client_info app
[handler_json]
class = c2cwsgiutils.pyramid_logging.JsonLogHandler
args = (sys.stdout,)
"""
INI_OF_SIX = """
[pipeline:main]
pipeline = egg:c2cwsgiutils#client_info app
"""
KWARGS = """
[handler_json]
kwargs = {"stream": "ext://sys.stdout"}
"""


@pytest.mark.parametrize(
    ("text", "number"), [(INI_OF_THREE, 3), (INI_OF_SIX, 6), (KWARGS, 6), ("", 3), ("no ini at all", 3)]
)
def test_the_ini_file_tells(tmp_path: Path, text: str, number: int) -> None:
    """Handlers with kwargs are of 6, with args of 3; without both, a pipeline of our filters is of 6."""
    ini = tmp_path / "production.ini"
    ini.write_text(text)
    assert _era.era_of({}, {"C2CWSGIUTILS_CONFIG": str(ini)}).number == number


def test_the_order(tmp_path: Path) -> None:
    """The setting wins over what was called, that over the file; of calls those of 6 over those of 3."""
    ini = tmp_path / "production.ini"
    ini.write_text(INI_OF_SIX)
    environ = {"C2CWSGIUTILS_CONFIG": str(ini)}
    assert _era.era_of({}, {**environ, "C2CWSGIUTILS_RUN": "1"}).number == 3
    _era.called(3, "wsgi.create_application")
    assert _era.era_of({}, environ).number == 3
    _era.called(6, "prometheus.start")
    assert _era.era_of({}, environ) == _era.Era(6, "prometheus.start was called")
    assert _era.era_of({"c2c.compat_era": "3"}, environ).number == 3
    with pytest.raises(ConfigurationError, match="C2C_COMPAT_ERA"):
        _era.era_of({}, {"C2C_COMPAT_ERA": "5"})


@pytest.mark.parametrize("name", ["wsgi.create_application", "wsgi_app.application"])
def test_who_asks_for_the_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A server that asks c2cwsgiutils itself is one of 3, whatever the ini file looks like."""
    ini = tmp_path / "production.ini"
    ini.write_text(INI_OF_SIX)
    monkeypatch.setenv("C2CWSGIUTILS_CONFIG", str(ini))
    module, _, name = name.partition(".")
    found = importlib.import_module(f"c2cwsgiutils.{module}")
    assert _era.era_of({}).number == 6
    with suppress(LookupError):  # there is no application in the file
        getattr(found, name)
    assert _era.era_of({}).number == 3


@pytest.mark.parametrize(
    ("requirement", "number"),
    [
        ("c2cwsgiutils[standard,broadcast]>=6", 6),
        ("c2cwsgiutils (>=5.2,<7)", 6),
        ("c2cwsgiutils==3.10.0", 3),
        ("c2cwsgiutils", 3),
        ("c2cwsgiutils-other>=6", 3),
    ],
)
def test_a_distribution_tells(tmp_path: Path, requirement: str, number: int) -> None:
    """A distribution that requires c2cwsgiutils in a range without 3.x is of 6."""
    metadata = tmp_path / "rivers-1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: rivers\nVersion: 1.0\nRequires-Dist: {requirement}\n")
    code = "from c2c_compat._era import era_of; print(era_of({}, {}).number)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(number)


def test_what_is_set_wins() -> None:
    """An era is defaults: a setting that is there stays."""
    settings = {"c2c.db.enforce_readonly": "true", "c2c.compat_era": "6"}
    assert _era.set_defaults(settings).number == 6
    assert settings["c2c.db.enforce_readonly"] == "true"
    assert settings["c2c.json.pretty_print"] == "false"
    assert "c2c.enable_exception_handling" in settings
    three: dict[str, str] = {"c2c.compat_era": "3"}
    _era.set_defaults(three)
    assert three["c2c.stats_public_reset"] == "true"
    assert "c2c.json.pretty_print" not in three


def test_what_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """One line has the era, the reason and the variable; a name of 6 in a service of 3 is one warning that names it."""
    caplog.set_level(logging.INFO)
    config = Configurator(settings={"sqlalchemy.url": "sqlite://", "more.url": "sqlite://"})
    for _ in range(2):
        config.include(includeme)
        config.commit()
    db.init(config)
    db.init(config, "more")
    said = [one.getMessage() for one in caplog.records if one.name == "c2c_compat._era"]
    assert said == [
        "c2c-compat does as c2cwsgiutils 3 did: nothing of 6 was found; C2C_COMPAT_ERA changes it",
        "c2cwsgiutils.db.init is of c2cwsgiutils 6, and this service was taken for one of 3: set C2C_COMPAT_ERA=6",
    ]


@pytest.mark.parametrize("number", ["3", "6"])
def test_each_default_is_a_setting(number: str) -> None:
    """The packages that are installed know all that an era sets, and take the value."""
    settings = {"c2c.compat_era": number}
    _era.set_defaults(settings)
    known: dict[str, type] = {}
    for point in entry_points(group="c2c.settings"):
        cls = point.load()
        known |= {declaration.key: cls for declaration, _ in declarations(cls).values() if declaration.key}
    assert settings.keys() <= known.keys()
    for key, value in settings.items():
        load(known[key], {key: value}, {})


def test_started_by_the_command_of_3(tmp_path: Path) -> None:
    """What c2cwsgiutils_run starts is of 3, though its ini file is one of 6."""
    (tmp_path / "tiny.py").write_text(
        "from c2c_compat import _era\n\n\ndef main(_, **settings):\n    raise ValueError(_era.era_of({}))\n"
    )
    kwargs = "class = StreamHandler\nkwargs = {'stream': 'ext://sys.stdout'}\n"
    ini = f"[app:main]\nuse = call:tiny:main\n[handler_of_six]\n{kwargs}"
    (tmp_path / "production.ini").write_text(ini)
    environ = {**os.environ, "GUNICORN_PARAMS": "-b 127.0.0.1:0 --workers 1", "C2C_EXCLUDE": "c2c_sentry c2c_page"}
    for command, number in (("c2cwsgiutils_run", 3), ("c2c-run", 6)):
        started = [Path(sys.executable).parent / command, "production.ini"]
        done = subprocess.run(started, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert f"Era(number={number}" in done.stdout + done.stderr
