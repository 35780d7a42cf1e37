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

# -- names -------------------------------------------------------------------------------------------------------------

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
# Where none of these is in a text, nothing is hidden: each secret name has one, and whatever else is looked for.
_SIGNS = (
    *("pass", "secret", "token", "key", "pwd", "credential", "authorization", "session", "cookie", "sig", "otp", "jwt"),
    *("dsn", "client-cert", "client_cert"),
    *("%3a%2f%2f", "-----begin"),
)
# All of them stand beside one of these. Of one character memory is as quick as it gets, of a word thirty times slower.
_MARKS = ("=", ":", '"', "'", "-", "%", ">", "$", "\\")
_ALONE = ("bearer", "basic", "digest", "negotiate")
# What every shell calls its folder.
_NO_SECRETS = frozenset({"PWD", "OLDPWD"})
_LONGEST_NAME = 256


@functools.lru_cache(maxsize=2048)
def names_secret(name: str) -> bool:
    """Tell whether something called ``name`` (a key, a variable, a header) holds a secret."""
    snake = _NO_LETTERS.sub("_", _CAMEL_HUMP.sub("_", name[-_LONGEST_NAME:]).lower())
    return name not in _NO_SECRETS and bool(_SECRET_NAME.search(f"_{snake.strip('_')}_"))


# -- values ------------------------------------------------------------------------------------------------------------

# Anything that may be a name, also percent-encoded: user%5Bpassword%5D
_NAME = re.compile(r"(?:%[\dA-Fa-f]{2}|(?<![\w.-]))([\w.-]++)", re.ASCII)
# In each pattern below, the group that matched last is what is hidden. A quoted text goes to its closing quote or the
# end of its line; with the backslashes that JSON in JSON has before its quotes, to the same ones.
_DOUBLE, _SINGLE = r"(?:[^\"\\\n]|\\.)*+", r"(?:[^'\\\n]|\\.|'')*+"
_QUOTED = rf"[bBuUrRfFeE]{{0,2}}(?:\"({_DOUBLE})|'({_SINGLE})|(\\{{1,15}}[\"'])(.*?(?=(?<!\\)\3)|.*+))"
# Whole brackets; else up to a delimiter, and what is in a call or an index there: SecretStr('...')
_BARE = (
    r"(\[[^\]\n]*+\]?|\{[^}\n]*+\}?|\([^)\n]*+\)?"
    rf"|[^\s&;,\"')\]}}\\][^\s&;,\"')\]}}]*+(?:(?<=[(\[{{=:])(?:\"{_DOUBLE}\"?|'{_SINGLE}'?))?)"
)
_VALUE = rf"(?:{_QUOTED}|{_BARE})"
# What may stand between a name and its separator: user[password]=, {"password":, {\"password\":
_ASSIGNED = re.compile(
    rf"(?:\]|%5D|%5d|\[\]|%5B%5D|%5b%5d|\\{{0,7}}[\"'`]){{0,5}}+\s{{0,20}}(?>=>|:=|[=:]|%3[DdAa]|\\u003d)"
    rf"[ \t]{{0,20}}(?!//){_VALUE}"
)
# A header goes to the end of its line, whatever its scheme is; as a parameter to the next one.
_HEADER = re.compile(r"[ \t]{0,20}(?:(?::|=>)[ \t]{0,20}([^\r\n]++)|(?:=|%3[AaDd])[ \t]{0,20}([^\r\n&]++))")
# Name and value in ("password", "..."), ['token', 12]; <password>...</password>; --password ...; PASSWORD $$...$$
_PAIR = re.compile(r"\\{0,15}[\"']\s{0,20},\s{0,20}(?=[\w\"'\\+-])" + _VALUE)
_ELEMENT = re.compile(r">([^<>\n]++)(?=</)")
_SQL_TEXT = re.compile(r"\s{1,20}(?:(?=[eE]?[\"'])" + _VALUE + r"|(\$\$[^$]*+(?:\$\$)?))")
_OPTION_VALUE = re.compile(r"[ \t]{1,20}(?!-)([^\s\"'][^\s]*+)")

# The user part of a URL (RFC 3986, 3.2.1) up to the last @ of its authority. SQLAlchemy, redis-py and others take any
# character in a password: so after `user:` up to the first @ of the line, but not where a port stands there. Of the
# web's schemes that is a host and its port; of others a password may begin so, and has no spaces then.
_AUTHORITY = r"[^\s/?#\"'<>]{0,256}"
_URL_USER = re.compile(
    r"((?<![a-z\d+.-])|(?<=\bhttps)|(?<=\bhttp)|(?<=\bwss)|(?<=\bws)|(?<=\bftps)|(?<=\bftp)|(?<=\bfile))?+"
    rf"(:(?:\\?/){{2}})(?:{_AUTHORITY}(?=@)|[^\s:/?#@\"'<>]{{0,128}}+:"
    r"(?:(?!\d{1,5}(?![^\s/?#\"'<>,;)\]}\\]))[^@\n]{0,256}+|(?(1)(?!)|[^@\s]{0,256}+))(?=@)"
    rf"(?:@{_AUTHORITY}(?=@))?)",
    re.IGNORECASE,
)
_QUOTED_URL = re.compile(r"(%3A%2F%2F)[^\s&@]{0,256}?%40", re.IGNORECASE)
_PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z ]{0,30}PRIVATE KEY)-----(?:.*?-----END \1-----|.*+)", re.DOTALL)
# Authorization: Bearer ... (RFC 9110, 11.6.2), wherever it is quoted. "basic functions" are no credentials: after the
# other words these are more than small letters.
_SCHEME = re.compile(
    r"\b((?:Bearer|(?:Basic|Digest|Negotiate)(?=[ \t]++(?-i:[a-z]*+[A-Z\d+/._~=-])))[ \t]{1,8})[A-Za-z0-9+/._~=-]{6,}",
    re.IGNORECASE,
)
# A JSON Web Token (RFC 7519).
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]++\.[\w-]*+")

# name=value, of C2C_REDIS_OPTIONS and of libpq
_OPTION = re.compile(r"(?:^|[\s,;&?])([A-Za-z][\w-]{0,100}+)=([^\s,;&]++)")
_OF_URL = re.compile(r"://[^\s:/?#@]{0,200}+:([^@]{1,500}+)@")


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
        for name, value in (item for source in sources for item in source.items() if isinstance(item[1], str)):
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
            rest = len(text) - limit
            # So much more that a known secret is whole where the cut goes through it.
            text = text[: limit + (len(self._known[0]) if self._known else 0)]
        for value in self._known:
            if value in text:
                text = text.replace(value, MASKED)
        if rest:
            # The cut may have been within the user of a URL: its @ is put back, for the pattern to see.
            text = _URL_USER.sub(rf"\2{MASKED}", f"{text[:limit]}@")[:-1]
        if _may_hold(text):
            text = _masked(text)
        return f"{text}... ({rest} characters more, not shown)" if rest else text

    def may_hold(self, text: str) -> bool:
        """Tell whether a text could hold a secret, or the name of one; False is sure, and quick."""
        return _may_hold(text) or any(value in text for value in self._known)

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


def _may_hold(text: str) -> bool:
    """Tell whether there could be anything to hide: most texts end here. Plain ``in`` takes a tenth of a pattern."""
    # Loops, for any() of a generator takes twice as long, and each log line comes here.
    low = text.lower()
    for sign in _ALONE:
        if sign in low:
            return True
    if "J" in text and "eyJ" in text:
        return True
    for mark in _MARKS:
        if mark in low:
            break
    else:
        return False
    if "@" in low and ("://" in low or ":\\/\\/" in low):
        return True
    for sign in _SIGNS:  # noqa: SIM110 # as above
        if sign in low:
            return True
    return False


# By what is in it in small letters, what is done to a text before and after its names were looked at. Each costs 10 us
# where the word is not looked for first.
_BEFORE = (
    ("-----begin", _PRIVATE_KEY, MASKED),
    ("@", _URL_USER, rf"\2{MASKED}"),
    ("%3a%2f%2f", _QUOTED_URL, rf"\1{MASKED}%40"),
)
_AFTER = (
    *((scheme, _SCHEME, rf"\1{MASKED}") for scheme in ("bearer", "basic", "digest", "negotiate")),
    ("eyj", _JWT, MASKED),
)


def _masked(text: str) -> str:
    low = text.lower()
    for sign, pattern, shown in _BEFORE:
        if sign in low:
            text = pattern.sub(shown, text)
    text = "".join(_without_named(text))
    for sign, pattern, shown in _AFTER:
        if sign in low:
            text = pattern.sub(shown, text)
    return text


def _without_named(text: str) -> Iterator[str]:
    """Yield the text in pieces, without the values whose names say that they are secret."""
    at = 0
    for name in _NAME.finditer(text):
        if name.start() >= at and names_secret(name[1]) and (value := _value(text, name)):
            begin, end = value.span(value.lastindex or 0)
            yield text[at:begin]
            yield MASKED
            at = end
    yield text[at:]


def _value(text: str, name: re.Match[str]) -> re.Match[str] | None:
    """Find the value that belongs to a secret name."""
    begin, end = name.span(1)
    before = text[max(0, begin - 20) : begin]
    low = name[1].lower().replace("-", "_")
    patterns = [_ASSIGNED]
    if low.endswith(("authorization", "cookie", "forwarded_client_cert")):
        patterns.insert(0, _HEADER)
    if before.endswith(('"', "'")) and before.rstrip("bu\\\"' ").endswith(("[", "(")):
        patterns.append(_PAIR)
    if before.endswith("<"):
        patterns.append(_ELEMENT)
    if low.endswith(("password", "passwd", "pwd", "secret", "token")):
        patterns.append(_SQL_TEXT)
    if low.startswith("__"):
        patterns.append(_OPTION_VALUE)
    return next(filter(None, (pattern.match(text, end) for pattern in patterns)), None)


mask = Masker()
"""The masker by patterns alone, for where no settings are at hand."""

_MASKER = "c2c_broadcast.masker"


def masker_of(registry: Any) -> Masker:
    """Return the application's masker: it knows the patterns, and the secrets in settings and environment."""
    if _MASKER not in registry:
        registry[_MASKER] = Masker.of(registry.settings or {}, os.environ)
    masker: Masker = registry[_MASKER]
    return masker
