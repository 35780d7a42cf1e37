"""What a gunicorn.conf.py asks."""

import logging
import logging.config
from pathlib import Path

import plaster
import pytest

import c2cwsgiutils
from c2c_broadcast import ConfigurationError
from c2c_compat._paste import get_paste_config

INI = """
[loggers]
keys = root, rivers
[handlers]
keys = new, old, syslog
[formatters]
keys = generic
[logger_root]
level = %(LEVEL)s
handlers = new, old
[logger_rivers]
level = debug
handlers =
qualname = rivers
propagate = 0
[handler_new]
class = StreamHandler
kwargs = {"stream": "ext://sys.stdout"}
formatter = generic
[handler_old]
class = c2cwsgiutils.pyramid_logging.JsonLogHandler
args = (sys.stderr,)
level = INFO
[handler_syslog]
class = handlers.SysLogHandler
args = (("localhost", 514),)
[formatter_generic]
format = %(asctime)s %(message)s
"""


@pytest.fixture
def ini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an ini file that uses the environment."""
    monkeypatch.setenv("LEVEL", "WARNING")
    path = tmp_path / "production.ini"
    path.write_text(INI)
    return path


def test_the_dict(ini: Path) -> None:
    """Loggers by their qualname, kwargs and args as keys, formats as they are; dictConfig takes it."""
    found = c2cwsgiutils.get_logconfig_dict(f"c2c://{ini}#app")
    assert found["root"] == {"level": "WARNING", "handlers": ["new", "old"]}
    assert found["loggers"] == {"rivers": {"level": "DEBUG", "propagate": False}}
    assert found["handlers"]["new"] == {
        "class": "logging.StreamHandler",
        "stream": "ext://sys.stdout",
        "formatter": "generic",
    }
    assert set(found["handlers"]["old"]) == {"class", "stream", "level"}
    assert found["handlers"]["syslog"]["address"] == ("localhost", 514)
    assert found["formatters"]["generic"] == {
        "format": "%(asctime)s %(message)s",
        "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
        "class": "logging.Formatter",
    }
    assert found["disable_existing_loggers"] is False
    before = list(logging.getLogger().handlers)
    try:
        logging.config.dictConfig({**found, "handlers": {name: found["handlers"][name] for name in ("new", "old")}})
    finally:
        logging.getLogger().handlers[:] = before
        logging.getLogger("rivers").setLevel(logging.NOTSET)
        logging.getLogger("rivers").propagate = True


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("keys = generic", "keys = generic, more", r"\[formatter_more\] is missing"),
        ("level = debug", "level = loud", r"\[logger_rivers\] level = loud"),
        ("%(LEVEL)s", "%(LEVLE)s", r"\[logger_root\]"),
        ("[loggers]", "[loggerz]", r"has no \[loggers\]"),
        ("(sys.stderr,)", "(sys.stderr", r"\[handler_old\]"),
        ('{"stream"', '{"stream', r"\[handler_new\]"),
    ],
)
def test_errors_name_file_and_section(ini: Path, old: str, new: str, said: str) -> None:
    """What can't be followed is one error with the file and the section."""
    ini.write_text(ini.read_text().replace(old, new))
    with pytest.raises(ConfigurationError, match=said) as caught:
        c2cwsgiutils.get_logconfig_dict(str(ini))
    assert str(ini) in str(caught.value)


def test_a_missing_file() -> None:
    """A file that is not there is named."""
    with pytest.raises(ConfigurationError, match=r"/nowhere\.ini: can't be read: No such file"):
        c2cwsgiutils.get_logconfig_dict("/nowhere.ini")


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        (["gunicorn", "--paste", "a.ini"], {}, "a.ini"),
        (["gunicorn", "--paster=x=y.ini#app"], {}, "x=y.ini#app"),
        (["gunicorn"], {"GUNICORN_CMD_ARGS": "--paste 'b c.ini'"}, "b c.ini"),
        (["gunicorn", "--paste=a.ini"], {"GUNICORN_CMD_ARGS": "--paste b.ini"}, "a.ini"),
        (["gunicorn"], {"C2CWSGIUTILS_CONFIG": "c.ini"}, "c.ini"),
        (["gunicorn", "--paste"], {}, "production.ini"),
    ],
)
def test_which_ini_file(arguments: list[str], environ: dict[str, str], expected: str) -> None:
    """The file is what gunicorn was given, else the variable, else production.ini."""
    assert get_paste_config(arguments, environ) == expected


def test_the_environment(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Percent signs are doubled; of two names that differ by case the first stays, said once."""
    monkeypatch.setenv("RIVER_A", "100%")
    monkeypatch.setenv("river_a", "x")
    for _ in range(2):
        found = c2cwsgiutils.get_config_defaults()
    assert found["RIVER_A"] == "100%%"
    assert "river_a" not in found
    assert sum("RIVER_A and river_a" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("name", ["client_info", "sentry", "profiler"])
def test_the_filters_that_ini_files_name(tmp_path: Path, name: str) -> None:
    """They are ours in a file that ``c2c://`` loads, by ``use`` and in pipelines."""
    path = tmp_path / "production.ini"
    path.write_text(f"[filter:f]\nuse = egg:c2cwsgiutils#{name}\n")
    loader = plaster.get_loader(f"c2c://{path}", protocols=["wsgi"])
    for one in ("f", f"egg:c2cwsgiutils#{name}"):
        assert callable(loader.get_wsgi_filter(one))
