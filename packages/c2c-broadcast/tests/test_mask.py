"""The masker: no secret survives, and the rest does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c_broadcast import Masker, _mask, mask, names_secret

CANARY = "s3cr3t-canary"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://user:{CANARY}@host:5432/db",
        f"postgresql://user:pa/{CANARY}@host/db",
        f"redis://:{CANARY}@host:6379/0",
        f"https://{CANARY}@sentry.example.com/1",
        f"host=h user=u password={CANARY} dbname=d",
        f"host=h password='{CANARY} and more' dbname=d",
        f'{{"password": "{CANARY}", "user": "me"}}',
        f"{{'api_key': '{CANARY}'}}",
        f"GET /c2c?secret={CANARY}&x=1",
        f"X-API-Key: {CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"authorization: Basic {CANARY}",
        f"C2C_SECRET={CANARY}",
        f"Set-Cookie: C2C_SECRET={CANARY}; Path=/",
        f"db.password = {CANARY}",
        f"access_token%3D{CANARY}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_no_canary_survives(text: str) -> None:
    """Each usual way of writing a secret is recognised."""
    assert CANARY not in mask(text)
    assert "***" in mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET http://localhost:8080/a?mail=a@b returned status code 404",
        "password authentication failed for user",
        "set C2C_SECRET (ini key c2c.secret)",
        "a passenger: bob, tokens=5, compass=north",
        "connection to 127.0.0.1:5432 refused",
        "postgresql://host:5432/db",
    ],
)
def test_the_rest_stays_as_it_is(text: str) -> None:
    """Words that only look alike are left alone."""
    assert mask(text) == text


def test_known_secrets_go_wherever_they_stand() -> None:
    """A masker made of settings hides their secret values in any text, also a URL's password."""
    masker = Masker.of({"c2c.secret": CANARY, "sqlalchemy.url": "postgresql://u:pass-word-1@h/d", "x": "visible"})
    assert masker(f"he said {CANARY} and pass-word-1, visible") == "he said *** and ***, visible"


def test_known_secrets_of_options() -> None:
    """A password among options, as for Redis or libpq, is known, and the other options are not."""
    masker = Masker.of(
        {"C2C_REDIS_OPTIONS": "db=1,client_name=visible,password=Redis-1", "dsn": "host=visible password='libpq-1'"}
    )
    assert masker("Redis-1 and libpq-1 are visible") == "*** and *** are visible"


def test_short_known_values_do_not_blank_out_words() -> None:
    """A known secret of a few letters would make every text unreadable."""
    assert Masker(["a", "no"])("a no") == "a no"


def test_data_is_masked_by_key_and_by_text() -> None:
    """Values under a secret's name go whole, other texts by pattern, numbers stay."""
    data = {"user": "me", "dbPassword": "x", "n": 1, "list": [{"token": "y"}, "redis://:z@h"], "secret": None}
    assert mask.data(data) == {
        "user": "me",
        "dbPassword": "***",
        "n": 1,
        "list": [{"token": "***"}, "redis://***@h"],
        "secret": None,
    }


def test_data_without_an_end() -> None:
    """A cycle ends, as a masked text."""
    endless: list[object] = []
    endless.append(endless)
    assert "***" in json.dumps(mask.data(endless))


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("C2C_SECRET", True),
        ("dbPassword", True),
        ("api-key", True),
        ("PWD", False),
        ("compass", False),
        ("tokenizer", False),
    ],
)
def test_names(name: str, secret: bool) -> None:
    """A name tells whether its value is a secret."""
    assert names_secret(name) is secret


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    """No text makes it raise, and masking twice is masking once for texts without triggers."""
    masked = mask(text)
    assert isinstance(masked, str)


@given(
    st.text(
        alphabet=st.characters(codec="ascii", exclude_characters="/?#\"'<>@ \\", categories=["L", "N", "S"]), min_size=1
    )
)
def test_any_password_of_a_url(password: str) -> None:
    """Whatever characters a URL's password has, the host is what is left."""
    assert mask(f"postgresql://user:{password}@host/db") == "postgresql://***@host/db"


_PIECES = [
    "pass",
    "PWD",
    "\u017fecret",
    "to",
    "token",
    "api",
    "\u212aey",
    "dsn",
    "Bearer ",
    "eyJ",
    *"=:@ .",
    "%3d",
    "://",
]


@given(st.lists(st.sampled_from([*_PIECES, "abcdefgh"]), max_size=12).map("".join))
def test_the_quick_look_misses_nothing(text: str) -> None:
    """Where the quick look says that nothing can be there, no pattern finds anything, in any case of letters."""
    if not _mask._may_hold(text):
        assert not any(pattern.search(text) for pattern, _ in _mask._PATTERNS)
