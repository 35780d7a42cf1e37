"""The one masker: what looks like a secret, or is known to be one, becomes ``***``.

Everything that leaves the process (answers, logs, labels, error reports) goes through it where it could hold a
secret. It prefers to hide too much: a masked word costs a glance, a shown password costs an incident.

Texts come from anybody, and ``re`` holds the interpreter while it looks. So every pattern here is linear: none has an
unbounded repeat in front of what it looks for, a name is looked for once (an atomic group), and what was scanned is
not scanned again.
"""

import functools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self
from urllib.parse import quote, quote_plus

MASKED = "***"
LONGEST = 8192
"""Of a longer text only so many characters are masked and kept, unless the caller asks for another limit."""

# A known secret shorter than this would blank out ordinary words, as would a switch's value.
_SHORTEST_KNOWN = 5
_NEVER_KNOWN = frozenset({"false", "disabled", "enabled", "required", "optional", "default"})
_DEEPEST = 20
_LONGEST_NAME = 256
# How far the @ that ends the password of a URL is looked for, and what a cut may have halved.
_LONGEST_PASSWORD = 256

# What every shell calls its folder.
_NO_SECRETS = frozenset({"PWD", "OLDPWD"})
_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_LETTERS = re.compile(r"[^a-z0-9]+")
# Looked for in _snake_case_: the strong words anywhere, the others as a word of their own.
_SECRET_NAME = re.compile(
    r"password(?!less)|passwd|pwd|pass_?(?:phrase|code)|secret(?!ar)|token(?!i[sz])|api_?key|credential|authorization"
    r"|(?<!com)(?<!by)(?<!sur)(?<!tres)(?<!over)(?<!under)(?<!low)(?<!high)(?<!band)(?<!multi)(?<!single)pass_"
    r"|_t?otp_|_sig_|_signature_|_jwt_|_dsn_|session_?id_"
    r"|_(?:access|auth|encryption|hmac|jwt|master|private|secret|shared|signing|ssh)_?keys?_"
    r"|^_(?:http_)?(?:set_)?cookie_$|^_(?:http_)?x_forwarded_client_cert_$"
)

# A name with one of these in it is looked at more closely.
_WORDS = (
    *("pass", "pwd", "secret", "token", "key", "credential", "authorization", "otp", "sig", "jwt", "dsn", "session"),
    *("cookie", "client-cert"),
)
_BEGIN_OF_NAME = re.compile(r"(?<![\w.-])[\w.-]++\Z", re.ASCII)
_END_OF_NAME = re.compile(r"[\w.-]++", re.ASCII)
_HEADERS = ("authorization", "cookie", "forwarded_client_cert")
# What SQL has a text after, without a separator.
_TAKE_TEXTS = ("password", "passwd", "pwd", "secret", "token")
# What may stand between a name and its separator: user[password]=, {"password":, {\"password\":
_SEPARATOR = re.compile(
    r"(?:\]|%5D|\[\]|%5B%5D|\\{0,7}[\"'`]){0,5}+\s{0,20}(?:=>|:=|[=:]|%3D|%3A|\\u003d)[ \t]{0,20}(?!//)", re.IGNORECASE
)
# A quoted text up to its end, or that of the line, with the backslashes that JSON in JSON has before its quotes.
_QUOTED = re.compile(
    r"[bBuUrRfFeE]{0,2}(?:\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.|'')*+'?"
    r"|(?P<quote>\\{1,15}[\"'])(?:.*?(?<!\\)(?P=quote)|.*+))"
)
_BARE = re.compile(r"\[[^\]\n]*+\]?|\{[^}\n]*+\}?|\([^)\n]*+\)?|[^\s&;,\"')\]}\\][^\s&;,\"')\]}]*+")
_HEADER = re.compile(r"[ \t]{0,20}(:|=>|=|%3A|%3D)[ \t]{0,20}(?P<value>[^\r\n]++)", re.IGNORECASE)
# Name and value in ("password", "..."), ['token', 12]; <password>...</password>; --password ...; PASSWORD $$...$$
_PAIR = re.compile(r"\\{0,15}[\"']\s{0,20},\s{0,20}(?=[\w\"'\\+-])")
_OPENS_PAIR = re.compile(r"[\[(]\s{0,20}[bu]?\\{0,15}[\"']\Z")
_ELEMENT = re.compile(r">[^<>\n]++(?=</)")
_OPTION_VALUE = re.compile(r"[ \t]{1,20}(?!-)[^\s\"'][^\s]*+")
_SPACE = re.compile(r"\s{1,20}(?=[eE]?[\"'])")
_DOLLARS = re.compile(r"\s{1,20}\$\$[^$]*+(?:\$\$)?")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}+)\Z")
# Of these a URL is as RFC 3986 says; SQLAlchemy, redis-py and others take any character in a password.
_WEB = frozenset({"http", "https", "ws", "wss", "ftp", "ftps", "file"})
_AUTHORITY = re.compile(r"[^\s/?#\"'<>]*+")
_USER = re.compile(r"[^\s:/?#@\"'<>]{0,128}+:")
_PORT = re.compile(r"\d{1,5}(?![^\s/?#\"'<>,;)\]}\\])")
_PASSWORD = re.compile(rf"[^@\n]{{0,{_LONGEST_PASSWORD}}}+@")
_PASSWORD_WITH_SLASH = re.compile(rf"[^@\s]{{0,{_LONGEST_PASSWORD}}}+@")
_QUOTED_URL = re.compile(rf"(%3A%2F%2F)[^\s&@]{{0,{_LONGEST_PASSWORD}}}?%40", re.IGNORECASE)

_PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z ]{0,30}PRIVATE KEY)-----(?:.*?-----END \1-----|.*+)", re.DOTALL)
# Authorization: Bearer ... (RFC 9110, 11.6.2), wherever it is quoted.
_SCHEMES = re.compile(r"\b(Bearer|Basic|Digest|Negotiate)([ \t]{1,8})([A-Za-z0-9+/._~=-]{6,})", re.IGNORECASE)
# A JSON Web Token (RFC 7519).
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]++\.[\w-]*+")

# name=value, of C2C_REDIS_OPTIONS and of libpq
_OPTION = re.compile(r"(?:^|[\s,;&?])([A-Za-z][\w-]{0,100}+)=([^\s,;&]++)")
_OF_URL = re.compile(r"://[^\s:/?#@]{0,200}+:([^@]{1,500}+)@")

_AUTHENTICATIONS = ("bearer", "basic", "digest", "negotiate")


def _may_hold(text: str) -> bool:
    """Tell whether there could be anything to hide: most texts end here, so each ``in`` is written out.

    One character is looked for at the speed of memory, a word at a thirtieth of it.
    """
    low = text.lower()
    if "bearer" in low or "basic" in low or "digest" in low or "negotiate" in low or "eyj" in low:
        return True
    if not (
        "=" in low
        or ":" in low
        or '"' in low
        or "'" in low
        or "-" in low
        or "%" in low
        or ">" in low
        or "$" in low
        or "\\" in low
    ):
        return False
    if "@" in low and ("://" in low or ":\\/\\/" in low):
        return True
    if ("%" in low and "%3a%2f%2f" in low) or ("-" in low and "-----begin" in low):
        return True
    return (
        "pass" in low
        or "secret" in low
        or "token" in low
        or "key" in low
        or "pwd" in low
        or "client-cert" in low
        or "client_cert" in low
        or "credential" in low
        or "authorization" in low
        or "session" in low
        or "cookie" in low
        or "sig" in low
        or "otp" in low
        or "jwt" in low
        or "dsn" in low
    )


@functools.lru_cache(maxsize=2048)
def names_secret(name: str) -> bool:
    """Tell whether something called ``name`` (a key, a variable, a header) holds a secret."""
    if name in _NO_SECRETS:
        return False
    snake = _NO_LETTERS.sub("_", _CAMEL_HUMP.sub("_", name[:_LONGEST_NAME]).lower())
    return bool(_SECRET_NAME.search(f"_{snake.strip('_')}_"))


class Masker:
    """Hide secrets in texts and data.

    ``Masker()`` knows patterns only (the user part of a URL, ``password=...``, authorization headers, keys);
    ``Masker(known=[...])`` also hides these literal values wherever they stand, also as they look in a pattern
    (``re.escape``), in JSON, in a ``repr`` and percent-encoded.
    """

    # Texts, and no pattern of them: the pattern would be one more object that shows them.
    __slots__ = ("_known",)

    def __init__(self, known: Iterable[str] = ()) -> None:
        forms = {form for value in known for form in _forms(value)}
        self._known = tuple(sorted(forms, key=lambda form: (-len(form), form)))

    @classmethod
    def of(cls, *sources: Mapping[str, Any]) -> Self:
        """Make a masker that knows the secrets in these mappings (the settings, the environment).

        A value is a secret where its key says so (``C2C_SECRET``, ``db.password``); of a URL, the password is; of
        options (``db=1,password=...``), the one whose name says so.
        """
        known: set[str] = set()
        for source in sources:
            for name, value in source.items():
                if not isinstance(value, str):
                    continue
                if names_secret(name):
                    known.add(value.strip())
                known.update(match[1] for match in _OF_URL.finditer(value))
                known.update(match[2].strip("\"'") for match in _OPTION.finditer(value) if names_secret(match[1]))
        return cls(known)

    def __call__(self, text: str, limit: int | None = LONGEST) -> str:
        """Return ``text`` with every secret in it replaced by ``***``.

        A text of more than ``limit`` characters is cut there, and its end says how many are not shown.
        """
        rest = 0
        if limit is not None and len(text) > limit:
            # So much more that a known secret is whole where the cut goes through it.
            margin = len(self._known[0]) if self._known else 0
            kept = self._without_known(text[: limit + margin])[:limit]
            rest = len(text) - limit
            text = kept
        else:
            text = self._without_known(text)
        if _may_hold(text) or (rest and "://" in text):
            text = _masked(text, cut=bool(rest))
        return f"{text}... ({rest} characters more, not shown)" if rest else text

    def may_hold(self, text: str) -> bool:
        """Tell whether a text could hold a secret, or the name of one; False is sure, and quick."""
        return _may_hold(text) or any(value in text for value in self._known)

    def _without_known(self, text: str) -> str:
        for value in self._known:
            if value in text:
                text = text.replace(value, MASKED)
        return text

    def data(self, value: Any, depth: int = _DEEPEST) -> Any:
        """Return a copy of JSON-like data, masked: texts by pattern, whole values where the key says secret."""
        if isinstance(value, str):
            return self(value)
        if depth <= 0:
            return value if value is None or isinstance(value, bool | int | float) else MASKED
        if isinstance(value, Mapping):
            return {
                key: MASKED if isinstance(key, str) and item and names_secret(key) else self.data(item, depth - 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            if len(value) == 2 and isinstance(value[0], str) and value[1] and names_secret(value[0]):  # noqa: PLR2004 # a pair
                return [value[0], MASKED]
            return [self.data(item, depth - 1) for item in value]
        return value


def _forms(value: str) -> Iterator[str]:
    """Yield a known secret as it stands in texts, in patterns, in JSON, in URLs, and in a ``repr`` of these."""
    if len(value) < _SHORTEST_KNOWN or value.lower() in _NEVER_KNOWN:
        return
    pattern = re.escape(value)
    encoded = quote(value, safe="", errors="replace")
    yield from (value, repr(value)[1:-1], pattern, repr(pattern)[1:-1])
    yield from (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    yield from (encoded, quote(value, errors="replace"), quote_plus(value, errors="replace"))
    yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)


def _masked(text: str, *, cut: bool) -> str:
    if "-----BEGIN" in text:
        text = _PRIVATE_KEY.sub(MASKED, text)
    if "://" in text or ":\\/\\/" in text:
        text = "".join(_without_users(text, cut=cut))
    if "%2F%2F" in text or "%2f%2f" in text:
        text = _QUOTED_URL.sub(rf"\1{MASKED}%40", text)
    text = "".join(_without_named(text))
    low = text.lower()
    if any(word in low for word in _AUTHENTICATIONS):
        text = _SCHEMES.sub(_without_credentials, text)
    return _JWT.sub(MASKED, text) if "eyJ" in text else text


def _without_credentials(match: re.Match[str]) -> str:
    # "basic functions" are no credentials: these are more than small letters.
    plain = match[1].lower() != "bearer" and match[3].isalpha() and match[3].islower()
    return match[0] if plain else f"{match[1]}{match[2]}{MASKED}"


def _without_users(text: str, *, cut: bool) -> Iterator[str]:
    """Yield the text in pieces, of each URL without its user and password (RFC 3986, 3.2.1)."""
    at = 0
    for match in re.finditer(r":(?:\\?/){2}", text):
        if match.start() < at:
            continue
        end = _end_of_user(text, match, cut=cut)
        if end > match.end():
            yield f"{text[at : match.end()]}{MASKED}"
            at = end
    yield text[at:]


def _end_of_user(text: str, separator: re.Match[str], *, cut: bool) -> int:
    """Return where the user part of a URL ends: its @, or the end of a text that was cut before it; 0 without one."""
    begin = separator.end()
    scheme = _SCHEME.search(text, max(0, separator.start() - 32), separator.start())
    authority = _AUTHORITY.match(text, begin, begin + _LONGEST_PASSWORD)
    assert authority is not None
    if (found := authority[0].rfind("@")) >= 0:
        return begin + found
    if cut and authority.end() == len(text):
        return len(text)
    user = _USER.match(text, begin, begin + _LONGEST_PASSWORD)
    if user is None:
        return 0
    password = _PASSWORD
    if _PORT.match(text, user.end()):
        if scheme is None or scheme[1].lower() in _WEB:
            return 0
        password = _PASSWORD_WITH_SLASH
    if rest := password.match(text, user.end()):
        # redis-py takes the last @ before the path.
        more = _AUTHORITY.match(text, rest.end(), rest.end() + _LONGEST_PASSWORD)
        return rest.end() + (more[0].rfind("@") if more else -1)
    return len(text) if cut and len(text) - user.end() < _LONGEST_PASSWORD and password is _PASSWORD else 0


def _without_named(text: str) -> Iterator[str]:
    """Yield the text in pieces, without the values whose names say that they are secret."""
    at = 0
    for place in _places(text):
        if place < at:
            continue
        found = _BEGIN_OF_NAME.search(text, max(at, place - _LONGEST_NAME), place)
        begin = found.start() if found else place
        rest = _END_OF_NAME.match(text, place)
        end = rest.end() if rest else place
        value = _value_of(text, begin, end)
        if value is None:
            yield text[at:end]
            at = end
        else:
            yield text[at : value[0]]
            yield value[2]
            at = value[1]
    yield text[at:]


def _places(text: str) -> list[int]:
    """Return where the words stand that secret names have. Plain ``find`` takes a tenth of one pattern."""
    low = text.lower()
    if len(low) != len(text):  # one letter of Turkish becomes two
        low = re.sub("[A-Z]+", lambda match: match[0].lower(), text)
    found = []
    for word in _WORDS:
        place = low.find(word)
        while place >= 0:
            found.append(place)
            place = low.find(word, place + len(word))
    return sorted(found)


def _value_of(text: str, begin: int, end: int) -> tuple[int, int, str] | None:  # noqa: PLR0911 # one for each way
    """Return begin and end of the value that follows a secret name, and what to show instead."""
    before = text[begin - 1 : begin]
    name = text[begin + 2 : end] if before == "%" else text[begin:end]  # user%5Bpassword%5D
    if not names_secret(name):
        return None
    low = name.lower().replace("-", "_")
    if low.endswith(_HEADERS) and (line := _HEADER.match(text, end)):
        begin, end = line.span("value")
        ampersand = -1 if line[1] in {":", "=>"} else text.find("&", begin, end)
        return begin, end if ampersand < 0 else ampersand, MASKED
    if separator := _SEPARATOR.match(text, end):
        return _quoted_or_bare(text, separator.end())
    if (
        before in {'"', "'"}
        and (pair := _PAIR.match(text, end))
        and _OPENS_PAIR.search(text, max(0, begin - 40), begin)
    ):
        return _quoted_or_bare(text, pair.end())
    if before == "<" and (element := _ELEMENT.match(text, end)):
        return element.start() + 1, element.end(), MASKED
    if low.endswith(_TAKE_TEXTS):
        if space := _SPACE.match(text, end):
            return _quoted_or_bare(text, space.end())
        if dollars := _DOLLARS.match(text, end):
            return dollars.start() + 1, dollars.end(), MASKED
    if name.startswith("--") and (option := _OPTION_VALUE.match(text, end)):
        return option.start() + 1, option.end(), MASKED
    return None


def _quoted_or_bare(text: str, begin: int) -> tuple[int, int, str] | None:
    if quoted := _QUOTED.match(text, begin):
        quote = quoted["quote"] or '"'
        return begin, quoted.end(), f"{quote}{MASKED}{quote}"
    bare = _BARE.match(text, begin)
    if bare is None:
        return None
    end = bare.end()
    # A call or an index, such as that of SecretStr, os.environ
    if text[end - 1] in "([{=:" and (quoted := _QUOTED.match(text, end)):
        end = quoted.end()
    return begin, end, MASKED


mask = Masker()
"""The masker by patterns alone, for where no settings are at hand."""

_MASKER = "c2c_broadcast.masker"


def masker_of(registry: Any) -> Masker:
    """Return the application's masker: it knows the patterns, and the secrets in settings and environment."""
    masker: Masker = registry.setdefault(_MASKER, None) or Masker.of(registry.settings or {}, os.environ)
    registry[_MASKER] = masker
    return masker
