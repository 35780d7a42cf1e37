"""Levels at run time, in one process: the view, its answers, its errors."""

import logging
import time

import pytest

from c2c_logging._levels import level_of, overrides

ON = {"c2c.log_view_enabled": "true"}
KEY = {"X-API-Key": "0123456789abcdef-test"}
URL = "/c2c/logging/level"


@pytest.fixture
def app(make_app):
    """An application with the view; overrides that a test leaves end with it."""
    yield make_app(**ON)
    state = overrides()
    for name in state.entries():
        state.reset(name)


@pytest.fixture
def get(app):
    """A function that asks the view as an operator."""

    def ask(status=200, **parameters):
        answer = app.get(URL, parameters, headers=KEY, status=status)
        assert "no-cache" in answer.headers["Cache-Control"]
        return answer.json

    return ask


@pytest.fixture
def name():
    """The name of a logger at level WARNING, of this test alone."""
    logger = logging.getLogger(f"test.levels.{time.monotonic_ns()}")
    logger.setLevel(logging.WARNING)
    return logger.name


def test_a_logger_is_shown(get, name):
    """Its own level and the one in force."""
    assert get(name=name) == {"status": 200, "name": name, "level": "WARNING", "effective_level": "WARNING"}
    assert get(name=f"{name}.x") == {
        "status": 200,
        "name": f"{name}.x",
        "level": "NOTSET",
        "effective_level": "WARNING",
    }


def test_a_level_is_set_and_reset(get, name):
    """The answer is the new state; reset gives back what was before."""
    changed = {"status": 200, "name": name, "level": "DEBUG", "effective_level": "DEBUG"}
    assert get(name=name, level="debug") == changed
    assert logging.getLogger(name).level == logging.DEBUG
    assert get(name=name, level="INFO")["level"] == "INFO"
    assert get() == {"status": 200, "overrides": {name: "INFO"}}
    assert get(name=name, level="reset")["level"] == "WARNING"
    assert get() == {"status": 200, "overrides": {}}
    assert get(name=name, level="reset")["level"] == "WARNING"


def test_the_root_logger(get):
    """It is named root."""
    before = logging.getLogger().level
    assert get(name="root")["level"] == logging.getLevelName(before)
    assert get(name="root", level="ERROR")["effective_level"] == "ERROR"
    assert get(name="root", level="reset")["level"] == logging.getLevelName(before)


def test_an_override_ends_by_itself(get, name):
    """Without Redis, without a request, without anybody."""
    assert get(name=name, level="DEBUG", ttl="5")["level"] == "DEBUG"
    deadline = time.monotonic() + 60
    while logging.getLogger(name).level == logging.DEBUG and time.monotonic() < deadline:
        time.sleep(0.05)
    assert logging.getLogger(name).level == logging.WARNING
    assert get()["overrides"] == {}


def test_all_loggers_are_listed(get, name):
    """With own and effective level, and what an override has left."""
    get(name=name, level="DEBUG", ttl="1000")
    lines = {line["name"]: line for line in get(list="1")["loggers"]}
    assert lines["root"]["override"] is False
    assert lines[name]["level"] == lines[name]["effective_level"] == "DEBUG"
    assert 900 < lines[name]["expires_in"] <= 1000
    assert next(iter(lines)) == "root"


def test_asking_makes_no_logger(get):
    """Whatever one asks for, memory does not grow."""
    get(name="nobody.has.this")
    assert "nobody.has.this" not in logging.root.manager.loggerDict
    assert level_of("nobody.has.this")["level"] == "NOTSET"


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"name": "a", "level": "LOUD"}, "LOUD.*CRITICAL, .*DEBUG"),
        ({"name": "a", "level": "10"}, "Unknown level"),
        ({"name": "a", "level": "INFO", "ttl": "soon"}, "ttl"),
        ({"name": "a", "level": "INFO", "ttl": "-1"}, "ttl"),
        ({"name": "a", "level": "INFO", "ttl": "nan"}, "ttl"),
        ({"name": "a", "level": "INFO", "ttl": "1e400"}, "ttl"),
        ({"name": "x" * 201, "level": "INFO"}, "name"),
        ({"name": "a\nb", "level": "INFO"}, "name"),
        ({"name": "\u202ea"}, "name"),
        ({"level": "INFO"}, "name"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(get, parameters, named):
    """400, with what would be right."""
    import re

    answer = get(status=400, **parameters)
    assert answer["status"] == 400
    assert re.search(named, answer["message"])
    assert get()["overrides"] == {}


def test_what_can_not_be_read_is_a_bad_request(app):
    """Bytes that are not UTF-8, or a broken form: 400, not 500."""
    assert "UTF-8" in app.get(f"{URL}?name=%ff&level=%ff", headers=KEY, status=400).json["message"]
    app.post(URL, b"level=%ff", headers=KEY, status=400)
    app.post(URL, b"x", headers={**KEY, "Content-Type": "multipart/form-data"}, status=400)


def test_list_is_for_those_who_ask(get):
    """``list=0`` is no list."""
    assert "loggers" not in get(list="0")
    assert "loggers" in get(list="true")


@pytest.mark.parametrize("name", ["a b", "Zürich", "a..b", "'quoted\"", "a/b?c=d&e", "<b>"])
def test_odd_names_are_names(get, name):
    """A logger may be called anything that prints."""
    assert get(name=name, level="DEBUG")["level"] == "DEBUG"
    assert get()["overrides"] == {name: "DEBUG"}
    get(name=name, level="reset")


def test_levels_of_ones_own(get, name):
    """``addLevelName`` makes a level that can be set."""
    logging.addLevelName(25, "NOTICE")
    assert get(name=name, level="notice")["level"] == "NOTICE"


def test_post_does_the_same(app, name):
    """Forms post."""
    answer = app.post(URL, {"name": name, "level": "DEBUG", "ttl": ""}, headers=KEY)
    assert answer.json["level"] == "DEBUG"


def test_operators_only(app, make_app, name):
    """Neither seeing nor setting without the secret; off without its setting."""
    app.get(URL, status=403)
    app.get(URL, {"name": name, "level": "DEBUG"}, status=403)
    assert logging.getLogger(name).level == logging.WARNING
    make_app().get(URL, headers=KEY, status=404)
