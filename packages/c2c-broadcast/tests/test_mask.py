"""The masker: no secret survives, the rest does, and no text takes long."""

import json
import re
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from c2c_broadcast import Masker, mask, names_secret, secrets

CANARY = "s3cr3t-canary"

# What is written into {}: letters, a number, what is not in every alphabet of tokens.
CANARIES = (CANARY, "31415926535", "Ab0/+9~.x_Z")

NAMED = (
    *("password", "passwd", "pwd", "secret", "token", "apikey", "credential", "authorization"),
    *("passwords", "secrets", "tokens", "apikeys", "credentials", "PGPASSWORD", "DBPASS", "db.password", "api_key"),
    *("SIGNING_KEY", "encryption-key", "hmac_key", "JWT_KEY", "API_KEYS", "otp", "sig", "jwt", "C2C_SECRET"),
    *("X-API-Key", "clientSecret", "id_token", "REDIS_PASSWORD_2", "dsn", "session_id", "passphrase", "user_pass"),
)
WRITTEN = (
    "{name}={value}",
    "{name}={value}&x=1",
    "GET /?a=1&{name}={value} HTTP/1.1",
    "{name}: {value}",
    "{name} = {value}",
    "{name}:={value}",
    ":{name}=>{value}",
    "{name}%3D{value}",
    "'{name}' => '{value}'",
    '{{"{name}": "{value}"}}',
    '{{"{name}": {value}}}',
    "{{'{name}': '{value}'}}",
    "{{'{name}': b'{value}'}}",
    "{name}='{value} {value}'",
    '{name}="{value} \\" {value}"',
    '{{"a": "{{\\"{name}\\": \\"{value}\\"}}"}}',
    '{{"a": "{{\\\\\\"{name}\\\\\\": \\\\\\"{value}\\\\\\"}}"}}',
    "('{name}', '{value}')",
    '["{name}", {value}]',
    "[(b'{name}', b'{value}'), (b'a', b'b')]",
    "user[{name}]={value}",
    "user%5B{name}%5D={value}",
    "--{name} {value}",
    "--{name}={value}",
    "<{name}>{value}</{name}>",
    "{name}=SecretStr('{value}')",
    '{name}: ["{value}", "{value}"]',
    "'{name}': '{value}",
)
WHOLE = (
    "postgresql://user:{}@host:5432/db",
    "postgresql://user:pa/{}@host/db",
    "postgresql+psycopg2://user:12/{}@host/db",
    "can't connect to postgresql://user:it's {}@host/db",
    'postgresql://user:a "quoted" {}@host/db',
    "postgresql://user:<{}>@host/db",
    "postgresql://user:a b {}@host/db and http://x@y",
    "redis://:{}@host:6379/0",
    "redis://:a@{}@host:6379/0",
    "rediss://me:#{}?@host:6379/0",
    "https://{}@sentry.example.com/1",
    "https://me:{}@example.com:8080/a?b=c@d",
    '{{"url": "amqp:\\/\\/me:{}@host\\/"}}',
    "?url=postgresql%3A%2F%2Fu%3A{}%40host%2Fdb",
    "host=h user=u password={} dbname=d",
    "host=h password='{} and more' dbname=d",
    "X-API-Key: {}",
    "Authorization: Bearer {}",
    "authorization: Basic {}",
    "Authorization: Token {}",
    "Authorization: Digest username=a, response={}",
    "Proxy-Authorization: Whatever {}",
    "authorization: {}",
    "Cookie: a=b; C2C_SECRET={}",
    "Set-Cookie: C2C_SECRET={}; Path=/",
    "X-Forwarded-Client-Cert: By=spiffe://a;Hash={}",
    "{{'Authorization': 'Token {}', 'User-Agent': 'x'}}",
    "{{'Cookie': 'a={}; b=c'}}",
    "curl -H 'Authorization: Token {}' http://localhost",
    "sent Bearer {}",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\n{}",
    "ALTER ROLE me PASSWORD '{}'",
    "CREATE USER me WITH ENCRYPTED PASSWORD 'it''s {}'",
    "alter role me password E'{}'",
    "ALTER ROLE me PASSWORD $${}$$",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.{}",
)


def _texts() -> list[str]:
    named = [form.replace("{name}", name) for name in NAMED for form in WRITTEN]
    return [form.replace("{value}", "{}") for form in named] + [*WHOLE]


@pytest.mark.parametrize("canary", CANARIES)
def test_no_canary_survives(canary: str) -> None:
    """Each usual way of writing a secret is recognised: 37 names in 28 ways, and 37 texts of other kinds."""
    texts = [form.replace("{{", "{").replace("}}", "}").replace("{}", canary) for form in _texts()]
    assert len(set(texts)) > 150
    shown = [text for text in texts if canary in mask(text) or "***" not in mask(text)]
    if "/" in canary:  # no part of a JSON Web Token, nor of a URL as the web has them
        shown = [text for text in shown if not text.startswith(("eyJ", "redis://:a@", "https://A"))]
    assert shown == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET http://localhost:8080/a?mail=a@b returned status code 404",
        "password authentication failed for user",
        "set C2C_SECRET (ini key c2c.secret)",
        "a passenger: bob, compass=north, tokenizer=bert, secretary: ann, key=value, author=me",
        "connection to 127.0.0.1:5432 refused",
        "postgresql://host:5432/db",
        "redis://host:6379/0 is away, ask me@example.com",
        "a basic function, a digest authentication",
        "https://host:8080/path and me@example.com",
        "signal=9 design: new keyboard=de",
        "SELECT 'password' FROM names WHERE a = 1",
    ],
)
def test_the_rest_stays_as_it_is(text: str) -> None:
    """Words that only look alike are left alone."""
    assert mask(text) == text


def test_what_stands_beside_a_secret_stays() -> None:
    """Only the value goes, its neighbours stay."""
    assert mask("user=me&password=x&lang=de") == "user=me&password=***&lang=de"
    assert mask('{"Authorization": "Token abc", "user": "me"}') == '{"Authorization": "***", "user": "me"}'
    assert mask("Authorization: Token abc\nHost: example") == "Authorization: ***\nHost: example"
    assert (
        mask('{"a": "{\\"token\\": \\"abc\\", \\"user\\": 1}"}') == '{"a": "{\\"token\\": \\"***\\", \\"user\\": 1}"}'
    )


def test_known_secrets_go_wherever_they_stand() -> None:
    """A masker made of settings hides their secret values in any text, also a URL's password."""
    masker = Masker.of({"c2c.secret": CANARY, "sqlalchemy.url": "postgresql://u:pass-word-1@h/d", "x": "visible"})
    assert masker(f"he said {CANARY} and pass-word-1, visible") == "he said *** and ***, visible"


@pytest.mark.parametrize("secret", ["a-b.c+d/e", 'it\'s "so"', "caf\u00e9 \u20ac 1", "back\\slash", "50%&more"])
def test_known_secrets_in_other_clothes(secret: str) -> None:
    """A known secret is hidden as a pattern, as JSON, in a repr and percent-encoded, too."""
    masker = Masker.of({"c2c.secret": secret})
    texts = [
        secret,
        repr(secret),
        re.escape(secret),
        repr(re.compile(re.escape(secret))),
        json.dumps({"x": secret}),
        json.dumps({"x": secret}, ensure_ascii=False),
        secrets.quote(secret, safe=""),
        secrets.quote(secret),
        secrets.quote_plus(secret),
        re.sub("%..", lambda match: match[0].lower(), secrets.quote(secret, safe="")),
    ]
    assert [text for text in texts if "***" not in masker(text)] == []


def test_a_masker_shows_no_secret_to_who_looks_at_objects() -> None:
    """It holds no compiled pattern of what it knows: that would be one more object whose repr shows it."""
    masker = Masker.of({"c2c.secret": CANARY})
    assert not any(isinstance(value, re.Pattern) for value in [getattr(masker, name) for name in Masker.__slots__])


def test_known_secrets_of_options() -> None:
    """A password among options, as for Redis or libpq, is known, and the other options are not."""
    masker = Masker.of(
        {"C2C_REDIS_OPTIONS": "db=1,client_name=visible,password=Redis-1", "dsn": "host=visible password='libpq-1'"}
    )
    assert masker("Redis-1 and libpq-1 are visible") == "*** and *** are visible"


def test_short_known_values_do_not_blank_out_words() -> None:
    """A known secret of a few letters, or a switch's value, would make every text unreadable."""
    assert Masker(["a", "no", "false"])("a no false") == "a no false"


def test_data_is_masked_by_key_and_by_text() -> None:
    """Values under a secret's name go whole, other texts by pattern, numbers stay; a pair is a name and its value."""
    data = {"user": "me", "dbPassword": "x", "n": 1, "list": [{"token": "y"}, "redis://:z@h"], "secret": None}
    assert mask.data(data) == {
        "user": "me",
        "dbPassword": "***",
        "n": 1,
        "list": [{"token": "***"}, "redis://***@h"],
        "secret": None,
    }
    assert mask.data([("password", 1234), ("user", 1)]) == [["password", "***"], ["user", 1]]


def test_data_without_an_end() -> None:
    """A cycle ends, as a masked text."""
    endless: list[object] = []
    endless.append(endless)
    assert "***" in json.dumps(mask.data(endless))


SECRET_NAMES = """
    C2C_SECRET dbPassword api-key password passwd pwd secret token apikey credential authorization passwords secrets
    tokens apikeys credentials PGPASSWORD DBPASS MYSQL_PWD user[password] user%5Bpassword%5D otp sig jwt totp
    SIGNING_KEY ENCRYPTION_KEY HMAC_KEY JWT_KEY API_KEY API_KEYS X-API-Key HTTP_X_API_KEY Authorization
    Proxy-Authorization Cookie Set-Cookie HTTP_COOKIE X-Forwarded-Client-Cert HTTP_AUTHORIZATION accessToken
    refresh_token id_token csrf_token AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AZURE_CLIENT_SECRET GITHUB_TOKEN
    SENTRY_DSN session_id sessionid JSESSIONID PHPSESSION_ID passphrase pass_phrase SSH_PRIVATE_KEY private-key
    secret_key SECRET_KEY_BASE master.key.token dsn C2C_REDIS_PASSWORD sqlalchemy.password smtp_pass SMTP_PASS pass
    userpass DB_PASS_1 password2 PASSWORD_FILE newPassword old-password password_confirmation client_secret
    clientSecret consumerSecret webhook-secret shared_secret tokenSecret bot_token oauth_token bearerToken
    x-auth-token X-Amz-Security-Token X-Vault-Token signature X-Hub-Signature access_key accessKey auth_key
    encryptionKey hmac.key jwt-key signingKey passcode credentialsFile db_credentials GOOGLE_APPLICATION_CREDENTIALS
    C2C_AUTH_GITHUB_CLIENT_SECRET C2C_AUTH_JWT_SECRET mypwd ftp_passwd
""".split()  # noqa: SIM905 # read better so
PLAIN_NAMES = """
    PWD OLDPWD compass bypass tokenizer tokenize secretary passenger passport passwordless key keys keyboard primary_key
    user username author auth name design signal signed cookie_name session dsname hotplug adoption path passes
""".split()  # noqa: SIM905 # as above


def test_names() -> None:
    """A name tells whether its value is a secret: 100 that do, 28 that only look alike."""
    assert len(set(SECRET_NAMES)) >= 100
    assert [name for name in SECRET_NAMES if not names_secret(name)] == []
    assert [name for name in PLAIN_NAMES if names_secret(name)] == []


UNITS = [
    *("a", "1", " ", "a ", "a_", "a-", "key-", "key ", "token_", "pass", "password=", "password='", 'password="', "'"),
    *(
        '"',
        "(",
        "((",
        "-- ",
        "/*",
        "a,",
        "a.",
        "a=",
        "://",
        "://a:",
        "@ ://a:",
        ":\\/\\/a:",
        "in (1",
        ", ?",
        "\\",
        '\\"',
    ),
    *("\t", "\n", "select ", "%(", "x:1 ", "0x", "[", "{", "<", "&a=", ";a=", "a:b,", "eyJ", "eyJ-", "eyJaaaaaaaa."),
    *(
        "basic ",
        "bearer  ",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "%3A%2F%2F",
        "%5D",
        "password%5B",
        "('token'",
    ),
    *("authorization", "cookie: ", 'secret \\"', "token=\\'", "--password ", "<token>", "PASSWORD $$", "caf\u00e9"),
]


@pytest.mark.parametrize("end", ["", "!", "\x00", "@", '"'])
def test_no_text_takes_long(end: str) -> None:
    """Four times as much of any repeated text takes about four times as long."""
    slow = []
    for unit in UNITS:
        texts = [(unit * size)[:size] + end for size in (8_000, 32_000)]
        took = [_seconds(text) for text in texts]
        if took[1] > 0.2 and took[1] > 8 * took[0]:  # measured again: another process may have been in the way
            took = [min(_seconds(text) for _ in range(3)) for text in texts]
            if took[1] > 0.2 and took[1] > 8 * took[0]:
                slow.append((unit, took))
    assert slow == []


def _seconds(text: str) -> float:
    begun = time.process_time()
    mask(text, limit=None)
    return time.process_time() - begun


def test_a_long_text_is_cut_and_says_so() -> None:
    """Of a text from outside 8 kB are kept; the end says how much is not shown, and what the cut halved is hidden."""
    assert mask("x" * 20_000) == "x" * 8192 + "... (11808 characters more, not shown)"
    assert mask("x" * 20_000, limit=None) == "x" * 20_000
    assert mask("x" * 8192) == "x" * 8192
    for shift in range(60):
        text = "x" * (8192 - shift) + f" postgresql://user:{CANARY}@host/db" + "y" * 100
        assert "s3cr" not in mask(text)
        assert "s3cr" not in Masker([CANARY])("x" * (8192 - shift) + f" {CANARY} " + "y" * 100)


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    """No text makes it raise."""
    masked = mask(text)
    assert isinstance(masked, str)


@given(
    st.text(
        alphabet=st.characters(codec="ascii", exclude_characters="@\n", categories=["L", "N", "S", "P", "Z"]),
        min_size=1,
    )
)
def test_any_password_of_a_url(password: str) -> None:
    """Whatever characters a URL's password has, the host is what is left; what looks like a port is taken for one."""
    assume(not (re.match(r"\d{1,5}\W", password) and " " in password.replace("\u00a0", " ")))
    assert mask(f"postgresql://user:{password}@host/db") == "postgresql://***@host/db"


_PIECES = [
    "pass",
    "PWD",
    "Secret",
    "to",
    "token",
    "api",
    "Key",
    "dsn",
    "Bearer ",
    "eyJ",
    *"=:@ .'\"",
    "%3d",
    "://",
    "--",
]


@given(st.lists(st.sampled_from([*_PIECES, "abcdefgh"]), max_size=12).map("".join))
def test_the_quick_look_misses_nothing(text: str) -> None:
    """Where the quick look says that nothing can be there, nothing is found, in any case of letters."""
    if not secrets._may_hold(text):
        assert secrets._masked(text) == text


def test_what_is_hidden_is_found_by_the_quick_look():
    """``may_hold`` is false only of texts that masking leaves as they are, and of names that hide nothing."""
    import random

    chance = random.Random(3)
    parts = (
        "password Password pwd pass_ secret token api_key apiKey credential Authorization otp _sig_ jwt dsn sessionid "
        "Set-Cookie x-forwarded-client-cert x_forwarded_client_cert private_key Bearer Basic digest Negotiate "
        "-----BEGIN PRIVATE KEY----- -----END PRIVATE KEY----- :// user:pw@host @ %3A%2F%2F %40 %3D = : => \" ' ` \\ "
        "\\u003d [ ] ( ) , < > </ -- - $$ $ abc123XYZ x { } :\\/\\/ eyJhbGciOiJIUzI1NiJ9.abcdefgh.xyz"
    )
    parts = (*parts.split(" "), " ", "\n")
    masker = Masker()
    assert not masker.may_hold("x")
    for _ in range(20_000):
        text = "".join(chance.choice(parts) for _ in range(chance.randint(1, 7)))
        assert masker.may_hold(text) or masker(text) == text
        assert masker.may_hold(f'"{text}":') or not names_secret(text)
