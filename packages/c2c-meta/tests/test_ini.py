"""Ini files and the environment."""

import pytest

import c2c_meta
from c2c_meta._ini import Ini, IniError, application_name, application_values


def ini(tmp_path, text, **environ):
    """Return what is read of a text."""
    path = tmp_path / "x.ini"
    path.write_text(text)
    return Ini(path, environ)


def problem(tmp_path, text, key="key", **environ):
    """Return the message of reading a key of [a]."""
    with pytest.raises(IniError) as caught:
        ini(tmp_path, text, **environ).get("a", key)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(str(tmp_path / "x.ini"))


def test_variable(tmp_path):
    """A variable of the environment stands for its value."""
    assert ini(tmp_path, "[a]\nkey = <%(NAME)s>", NAME="value").get("a", "key") == "<value>"


@pytest.mark.parametrize("value", ["a%b", "100%", "%(NAME)s", "%%", "%(OTHER)s", "%", "é%é"])
def test_percent(tmp_path, value):
    """A value arrives as it is, whatever it holds."""
    assert ini(tmp_path, "[a]\nkey = <%(NAME)s>", NAME=value, OTHER="x").get("a", "key") == f"<{value}>"


def test_case(tmp_path):
    """Names that differ only by case are two names."""
    found = ini(tmp_path, "[a]\nkey = %(Path)s %(PATH)s %(path)s", Path="one", PATH="two", path="three")
    assert found.get("a", "key") == "one two three"


def test_file_wins(tmp_path):
    """A key of the section wins over [DEFAULT], and that over the environment."""
    text = "[DEFAULT]\nx = default\ny = default\n[a]\nx = section\nkey = %(x)s %(y)s %(z)s"
    found = ini(tmp_path, text, x="environment", y="environment", z="environment")
    assert found.get("a", "key") == "section default environment"


def test_own_name(tmp_path):
    """A key that refers to its own name means the environment, directly or through another key."""
    text = "[DEFAULT]\nNAME = %(NAME)s\n[a]\nOTHER = %(OTHER)s!\nkey = %(NAME)s"
    found = ini(tmp_path, text, NAME="a%b", OTHER="50%")
    assert (found.get("a", "key"), found.get("a", "OTHER")) == ("a%b", "50%!")


def test_no_leak(tmp_path):
    """The environment adds no keys."""
    found = ini(tmp_path, "[DEFAULT]\nx = 1\n[a]\nkey = 2", NAME="value")
    assert dict(found.items("a")).keys() == {"x", "key", "here", "__file__"}
    assert found.defaults().keys() == {"x", "here", "__file__"}


def test_here_with_percent(tmp_path):
    """A folder may have a percent sign in its name."""
    folder = tmp_path / "a%b"
    folder.mkdir()
    assert ini(folder, "[a]\nkey = %(here)s").get("a", "key") == str(folder)


def test_undefined(tmp_path):
    """An undefined variable is named with file, line, section and key."""
    assert problem(tmp_path, "[b]\nkey = 1\n[a]\n\nkey = %(NAME)s") == (
        ":5: [a] key: uses %(NAME)s, which is defined neither in the file nor in the environment: set NAME"
    )


def test_undefined_in_default(tmp_path):
    """The line is that of [DEFAULT] where the key comes from there."""
    assert problem(tmp_path, "[DEFAULT]\nkey = %(NAME)s\n[a]\n").startswith(":2: [DEFAULT] key: uses %(NAME)s")


@pytest.mark.parametrize("near", ["Name", "NAMES"])
def test_near_name(tmp_path, near):
    """A name that is nearly the same is proposed, its value is not shown."""
    message = problem(tmp_path, "[a]\nkey = %(NAME)s", **{near: "hunter2"})
    assert f"did you mean {near}?" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("value", ["postgresql://user:hun%ter2@host", "hunter2%", "%(hunter2", "%shunter2"])
def test_lone_percent(tmp_path, value):
    """A percent sign that begins nothing is explained without showing the value, perhaps a password."""
    message = problem(tmp_path, f"[a]\nkey = {value}")
    assert message == ":2: [a] key: has a % that begins no %(NAME)s: write %% for a percent sign"


def test_endless(tmp_path):
    """Two keys that refer to each other are said to."""
    assert problem(tmp_path, "[a]\nkey = %(x)s\nx = %(key)s") == ":2: [a] key: refers to itself"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key = 1", ":1: a line before the first [section]"),
        ("[a]\nkey = 1\n[a]\n", ":3: section [a] is there twice"),
        ("[a]\nkey = 1\nkey = 2\n", ":3: [a] key is there twice"),
        ("[a]\nkey = 1\nhunter2\n[b]", ":3: neither a [section] nor a key = value"),
    ],
)
def test_broken(tmp_path, text, expected):
    """A file that does not parse is named with the line, without its content."""
    assert problem(tmp_path, text) == expected


def test_missing(tmp_path):
    """A file that is not there is named."""
    with pytest.raises(IniError, match=r"nowhere\.ini: no such file$"):
        Ini(tmp_path / "nowhere.ini")


def test_folder(tmp_path):
    """A folder is no file."""
    with pytest.raises(IniError, match=r": Is a directory$"):
        Ini(tmp_path)


def test_not_text(tmp_path):
    """A file in another encoding is said to be one."""
    (tmp_path / "x.ini").write_bytes(b"[a]\nkey = \xe9\n")
    with pytest.raises(IniError, match=r"x\.ini: is not encoded in UTF-8$"):
        Ini(tmp_path / "x.ini")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server:main]\nx = 1", "has no [app:main], [pipeline:main] or [composite:main]"),
        ("[app:main]\n[pipeline:main]", "has several main applications: [app:main], [pipeline:main]"),
        ("[app:main]\nx = %(NAME)s", "[app:main] x: uses %(NAME)s"),
        ("[DEFAULT]\nx = %(NAME)s\n[app:main]\n", "[DEFAULT] x: uses %(NAME)s"),
        ("[pipeline:main]\npipeline = f a\n[filter:f]\nx = %(NAME)s\n[app:a]", "[filter:f] x: uses %(NAME)s"),
    ],
)
def test_check_finds(tmp_path, text, expected):
    """What the service would stumble over is found beforehand."""
    with pytest.raises(IniError) as caught:
        application_values(ini(tmp_path, text))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[app:main]\n[app:other]\nx = %(NAME)s",
        "[app:main]\n[alembic]\nx = %(NAME)s\n[server:main]\nx = %(NAME)s",
        "[app]\n",
        "[composite:main]\n/ = a\n[app:a]\n",
    ],
)
def test_check_passes(tmp_path, text):
    """What the service does not use may be as it likes."""
    application_values(ini(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[app:main]\nuse = egg:shop", "shop"),
        ("[app:main]\nuse = egg:shop-front#admin", "shop-front"),
        ("[app:main]\nuse = call:shop.app:main", "shop"),
        ("[app]\npaste.app_factory = shop.app:main", "shop"),
        ("[pipeline:main]\npipeline = f a\n[filter:f]\nuse = egg:Other#f\n[app:a]\nuse = egg:shop", "shop"),
        ("[app:main]\nuse = config:other.ini", None),
        ("[app:main]\nuse = other\n[app:other]\nuse = egg:shop", "other"),
        ("[app:main]\n", None),
    ],
)
def test_application_name(tmp_path, text, name):
    """A service is called as what makes its main application."""
    assert application_name(ini(tmp_path, text)) == name


def test_settings(tmp_path, monkeypatch):
    """A script reads the main application's settings, environment included, and nothing is imported for it."""
    monkeypatch.setenv("DB", "postgresql://db/%20")
    text = "[app:main]\nuse = call:no_such_module:main\nsqlalchemy.url = %(DB)s\n[app:other]\na = b\n"
    path = tmp_path / "production.ini"
    path.write_text(text)
    settings = c2c_meta.ini_settings(str(path))
    assert settings["sqlalchemy.url"] == "postgresql://db/%20"
    assert "a" not in settings
    with pytest.raises(c2c_meta.IniError, match="no such file"):
        c2c_meta.ini_settings(str(tmp_path / "away.ini"))
