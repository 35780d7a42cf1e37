"""The one masker: what looks like a secret, or is known to be one, becomes ``***``.

Everything that leaves the process (answers, logs, labels, error reports) goes through it where it could hold a
secret. It prefers to hide too much: a masked word costs a glance, a shown password costs an incident.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Self

MASKED = "***"

# A known secret shorter than this would blank out ordinary words.
_SHORTEST_KNOWN = 5
_DEEPEST = 20

_NAMES = (
    r"pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key"
    r"|authorization|credentials?|dsn|session[_-]?id|signature"
)
_SECRET_NAME = re.compile(rf"(?:^|[^a-z])(?:{_NAMES})(?:$|[^a-z])", re.IGNORECASE)
# What every shell calls its folder.
_NO_SECRETS = frozenset({"PWD", "OLDPWD"})
# name=value, of C2C_REDIS_OPTIONS and of libpq
_OPTION = re.compile(r"(?:^|[\s,;&?])([A-Za-z][\w-]*)=([^\s,;&]+)")
_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL),
        MASKED,
    ),
    # The user part of a URL (RFC 3986, 3.2.1), up to the last @ before the path.
    (re.compile(r"(://)[^\s/?#\"'<>]*@"), rf"\1{MASKED}@"),
    # The same with a password that should have been percent-encoded. A port is not a password.
    (re.compile(r"(://)[^\s/?#:@\"'<>]*:(?!\d{1,5}(?:[/?#]|$))[^\s\"'<>@]*@"), rf"\1{MASKED}@"),
    # Authorization: Bearer ... (RFC 9110, 11.6.2), wherever it is quoted.
    (re.compile(r"\b(Bearer|Basic|Digest)\s+[A-Za-z0-9+/._~=-]{6,}", re.IGNORECASE), rf"\1 {MASKED}"),
    # password='two words', "token": "...", {'secret': '...'}
    (
        re.compile(
            rf"((?<![A-Za-z])(?:[\w-]*[_.-])?(?:{_NAMES})(?:[_-]\w+)?[\"']?\s*[=:]\s*)(\"[^\"\n]*\"|'[^'\n]*')",
            re.IGNORECASE,
        ),
        rf'\1"{MASKED}"',
    ),
    # password=..., secret=...&, X-API-Key: ...
    (
        re.compile(
            rf"((?<![A-Za-z])(?:[\w-]*[_.-])?(?:{_NAMES})(?:[_-]\w+)?[ \t]*(?:=[ \t]*|%3D|:[ \t]?(?!//)))"
            r"(?![\"'])[^\s&;,\"'<>)\]}]+",
            re.IGNORECASE,
        ),
        rf"\1{MASKED}",
    ),
    # A JSON Web Token (RFC 7519).
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), MASKED),
)


def _may_hold(text: str) -> bool:
    """Tell whether a pattern could match at all. Most texts end here: plain ``in`` costs a tenth of one pattern."""
    low = text.casefold()
    if "bearer" in low or "basic" in low or "digest" in low or "eyj" in low or "-----begin" in low:
        return True
    if "=" not in low and ":" not in low and "%3d" not in low:
        return False
    return (
        ("://" in low and "@" in low)
        or "pass" in low
        or "pwd" in low
        or "secret" in low
        or "token" in low
        or "key" in low
        or "authorization" in low
        or "credential" in low
        or "dsn" in low
        or "session" in low
        or "signature" in low
    )


def names_secret(name: str) -> bool:
    """Tell whether something called ``name`` (a key, a variable, a header) holds a secret."""
    return name not in _NO_SECRETS and bool(_SECRET_NAME.search(_CAMEL_HUMP.sub("_", name)))


class Masker:
    """Hide secrets in texts and data.

    ``Masker()`` knows patterns only (the user part of a URL, ``password=...``, authorization headers, keys);
    ``Masker(known=[...])`` also hides these literal values wherever they stand.
    """

    __slots__ = ("_known",)

    def __init__(self, known: Iterable[str] = ()) -> None:
        values = sorted({value for value in known if len(value) >= _SHORTEST_KNOWN}, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(value) for value in values)) if values else None

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
                known.update(match[1] for match in re.finditer(r"://[^\s/?#:@]*:([^\s@]+)@", value))
                known.update(match[2].strip("\"'") for match in _OPTION.finditer(value) if names_secret(match[1]))
        return cls(known)

    def __call__(self, text: str) -> str:
        """Return ``text`` with every secret in it replaced by ``***``."""
        if self._known is not None:
            text = self._known.sub(MASKED, text)
        if not _may_hold(text):
            return text
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
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
            return [self.data(item, depth - 1) for item in value]
        return value


mask = Masker()
"""The masker by patterns alone, for where no settings are at hand."""
