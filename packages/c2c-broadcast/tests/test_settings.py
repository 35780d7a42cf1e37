"""Settings: the environment wins, empty is unset, and an error names the thing."""

from dataclasses import dataclass
from typing import Literal

import pytest

from c2c_broadcast import (
    BroadcastSettings,
    ConfigurationError,
    declarations,
    family,
    load,
    resolve,
    setting,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One setting of each kind."""

    flag: bool = setting(True, env="X_FLAG", key="x.flag", help="a switch")
    count: int = setting(3, env="X_COUNT", key="x.count", help="a number", minimum=1, maximum=9)
    delay: float | None = setting(None, env="X_DELAY", key="x.delay", help="seconds")
    names: tuple[str, ...] = setting((), env="X_NAMES", key="x.names", help="names")
    mode: Literal["fast", "slow"] = setting("fast", env="X_MODE", key="x.mode", help="a choice")
    url: str | None = setting(None, env="X_URL", key="x.url", aliases=("x_url", "X_OLD_URL"), help="an address")
    secret: str | None = setting(None, env="X_SECRET", key="x.secret", secret=True, help="a secret")
    pin: int = setting(0, env="X_PIN", key="x.pin", secret=True, help="a secret number")
    tags: dict[str, str] = family(env="X_TAG_", key="x.tag_", help="tags")


def test_defaults_without_anything() -> None:
    """Nothing said gives the declared defaults."""
    assert load(Sample, {}, {}) == Sample()


def test_environment_wins_over_ini() -> None:
    """Where both speak, the environment is right."""
    assert load(Sample, {"x.count": "4"}, {"X_COUNT": "5"}).count == 5


def test_empty_means_unset_and_lets_the_ini_speak() -> None:
    """An empty or blank variable is as none: the ini's value counts."""
    assert load(Sample, {"x.count": "4"}, {"X_COUNT": "  "}).count == 4
    assert load(Sample, {"x.count": ""}, {"X_COUNT": ""}).count == 3


@pytest.mark.parametrize("word", ["true", "T", "Yes", "y", "ON", "1"])
def test_words_for_true(word: str) -> None:
    """Each documented word, in any case, is true."""
    assert load(Sample, {}, {"X_FLAG": word}).flag is True


@pytest.mark.parametrize("word", ["false", "F", "No", "n", "OFF", "0"])
def test_words_for_false(word: str) -> None:
    """Each documented word, in any case, is false: the text "false" too."""
    assert load(Sample, {}, {"X_FLAG": word}).flag is False


def test_values_that_are_not_texts() -> None:
    """Settings given from Python keep their type."""
    assert load(Sample, {"x.flag": False, "x.count": 7, "x.names": ["a", "b"]}, {}) == Sample(
        flag=False, count=7, names=("a", "b")
    )


def test_lists_choices_and_aliases() -> None:
    """Lists are split at commas and blanks, choices ignore case, aliases are read after the names."""
    loaded = load(Sample, {"x_url": "b"}, {"X_NAMES": "a, b c", "X_MODE": "SLOW", "X_DELAY": "0.5"})
    assert (loaded.names, loaded.mode, loaded.url, loaded.delay) == (("a", "b", "c"), "slow", "b", 0.5)
    assert load(Sample, {}, {"X_OLD_URL": "old", "X_URL": "new"}).url == "new"


def test_family_merges_both_sources_and_lowers_names() -> None:
    """A prefix field is a dict; the environment wins name by name."""
    loaded = load(Sample, {"x.tag_one": "1", "x.tag_two": "2"}, {"X_TAG_TWO": "b", "X_TAG_Three": "c", "X_TAG_": "no"})
    assert loaded.tags == {"one": "1", "two": "b", "three": "c"}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("X_FLAG", "maybe", "neither true"),
        ("X_COUNT", "abc", "not a whole number"),
        ("X_COUNT", "0", "must be 1 or more"),
        ("X_COUNT", "10", "must be 9 or less"),
        ("X_DELAY", "nan", "not a finite number"),
        ("X_MODE", "medium", "fast, slow"),
    ],
)
def test_a_bad_value_names_variable_key_and_remedy(name: str, value: str, why: str) -> None:
    """The error says which variable, which ini key, which value and what would be right."""
    with pytest.raises(ConfigurationError) as error:
        load(Sample, {}, {name: value})
    message = str(error.value)
    assert name in message
    assert name.lower().replace("_", ".", 1) in message
    assert value in message
    assert why in message


def test_all_bad_values_are_named_at_once() -> None:
    """One start-up shows every mistake."""
    with pytest.raises(ConfigurationError, match=r"X_FLAG.*x\.count"):
        load(Sample, {"x.count": "z"}, {"X_FLAG": "q"})


def test_a_bad_secret_is_not_shown() -> None:
    """The error about a secret does not tell it, nor does one about a URL tell its password."""
    with pytest.raises(ConfigurationError) as error:
        load(Sample, {}, {"X_PIN": "hunter2hunter2"})
    assert "X_PIN" in str(error.value)
    assert "hunter2" not in str(error.value)
    with pytest.raises(ConfigurationError) as error:
        load(BroadcastSettings, {}, {"C2C_REDIS_URL": "http://user:hunter2@host"})
    assert "hunter2" not in str(error.value)


def test_resolve_tells_where_a_value_came_from() -> None:
    """Each setting comes with its origin and the name that was found."""
    found = {one.name: one for one in resolve(Sample, {"x_url": "u"}, {"X_COUNT": "5"})}
    assert (found["count"].origin, found["count"].source) == ("environment", "X_COUNT")
    assert (found["url"].origin, found["url"].source) == ("ini", "x_url")
    assert found["flag"].origin == "default"


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        ("localhost:6379", "redis://localhost:6379"),
        ("redis://h/3", "redis://h/3"),
        ("rediss://u:p@h:1", "rediss://u:p@h:1"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("", None),
    ],
)
def test_redis_urls(raw: str, url: str | None) -> None:
    """The documented forms are read, a bare host and port too, and empty is none."""
    assert load(BroadcastSettings, {}, {"C2C_REDIS_URL": raw}).redis_url == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("C2C_REDIS_URL", "http://host"),
        ("C2C_REDIS_URL", "redis://"),
        ("C2C_REDIS_OPTIONS", "socket_timeout"),
        ("C2C_REDIS_SENTINELS", "host"),
        ("C2C_REDIS_DB", "-1"),
        ("C2C_REDIS_SENTINELS", "host:99999"),
        *(("C2C_BASE_PATH", path) for path in ("/", "/{x}", "/:x", "/x*", "/a b", "/a%20b", "/a//b", "/é")),
    ],
)
def test_malformed_redis_settings_stop_the_start(name: str, value: str) -> None:
    """A malformed one is an error that names it."""
    with pytest.raises(ConfigurationError, match=name):
        load(BroadcastSettings, {}, {name: value})


def test_redis_options_are_typed() -> None:
    """Values are int, float, bool, null or text."""
    raw = "socket_timeout=3,health=0.5,ssl=true,retry=null,name=a b"
    assert load(BroadcastSettings, {}, {"C2C_REDIS_OPTIONS": raw}).redis_options == {
        "socket_timeout": 3,
        "health": 0.5,
        "ssl": True,
        "retry": None,
        "name": "a b",
    }


def test_passwords_are_texts() -> None:
    """A user name or a password that looks like a number or a word is one nevertheless, for the sentinels too."""
    raw = "username=true,password=0123,db=1"
    loaded = load(BroadcastSettings, {"c2c.redis_sentinel_options": raw}, {"C2C_REDIS_OPTIONS": raw})
    assert loaded.redis_options == {"username": "true", "password": "0123", "db": 1}
    assert loaded.redis_sentinel_options == loaded.redis_options


def test_sentinels() -> None:
    """Sentinels are pairs of host and port, IPv6 in brackets too."""
    loaded = load(BroadcastSettings, {"c2c.redis_sentinels": "a:26379, [::1]:26380"}, {})
    assert loaded.redis_sentinels == (("a", 26379), ("::1", 26380))


def test_each_declaration_has_a_line_of_help() -> None:
    """The table of settings can be made from the declarations."""
    for name, (declaration, _) in declarations(BroadcastSettings).items():
        assert declaration.help, name
        assert declaration.env, name
        assert declaration.key, name
