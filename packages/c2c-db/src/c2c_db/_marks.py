"""What a client wrote last: a WAL position, signed, which it carries in a cookie and a header from writes to reads."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from webob.cookies import JSONSerializer, SignedSerializer

from c2c_broadcast.settings import warn_once

HEADER = "X-C2C-DB-LSN"
COOKIE = "c2c_db_lsn"
"""How the names of the cookies begin: services that sign with other keys have cookies of other names."""
LIFETIME = 600
"""Seconds for which a mark counts: a replica that is further behind than this may show its client an older state."""
WINDOW = 2.0
"""Seconds that reads stay on the primary after a write whose WAL position can't be had."""
_LONGEST = 1024
_CLOCK_SKEW = 5.0
_HIGHEST = 2**64
# Of one name: a path and a domain each may have its own. Of one request: marks of so many servers.
_MOST = 4
_LOG = logging.getLogger(__name__)


def format_lsn(position: int) -> str:
    """Return a position as PostgreSQL writes a pg_lsn: 0x16B374D848 is 16/B374D848."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True)
class Mark:
    """A commit: the WAL position after it (None where it can't be had), and when it was (seconds since 1970)."""

    position: int | None
    at: float


def later(one: Mark | None, other: Mark | None) -> Mark | None:
    """Return the mark that asks for more: the higher position, else the later time."""
    if one is None or other is None:
        return one or other
    if one.position is not None and other.position is not None:
        return one if one.position >= other.position else other
    return one if one.at >= other.at else other


def merge(one: Mapping[str, Mark], others: Iterable[tuple[str, Mark]]) -> dict[str, Mark]:
    merged = dict(one)
    for server, mark in others:
        merged[server] = later(merged.get(server), mark) or mark
    return merged


class Tokens:
    """Sign and read marks. What does not verify, is too old, or makes no sense counts as nothing.

    The key is drawn by scrypt (RFC 7914) from a secret that all processes of the service have; who sees a token can't
    try out secrets faster than some dozens a second. The cookie's name comes from the key, too: services of one host
    with other secrets leave each other's cookies alone.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        # 50 ms, once a process, and only where something is written or a token comes.
        key = _key_of(secret)
        self.cookie = f"{COOKIE}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        self._serializer = SignedSerializer(key, "c2c_db", "sha512", JSONSerializer())
        self._clock = clock

    def sign(self, marks: Mapping[str, Mark]) -> str:
        """Return the token of these marks, by server: of the latest ones, where there are many."""
        latest = sorted(marks.items(), key=lambda item: item[1].at)[-_MOST:]
        content = {server: [mark.position, mark.at] for server, mark in latest}
        return str(self._serializer.dumps(content).decode("ascii"))

    def read(self, token: str) -> dict[str, Mark]:
        if not token or len(token) > _LONGEST:
            return {}
        try:
            content = self._serializer.loads(token.encode("ascii"))
            marks = {str(server): Mark(position, float(at)) for server, (position, at) in content.items()}
        except (ValueError, TypeError, AttributeError):  # forged, cut, or not ours
            return {}
        return {server: mark for server, mark in marks.items() if self._is_sane(mark)}

    def of_request(self, environ: Mapping[str, Any]) -> dict[str, Mark]:
        # Of cookies, the others, which other applications of the host wrote, are not read.
        parts = (part.strip().partition("=") for part in environ.get("HTTP_COOKIE", "").split(";"))
        cookies = [value.strip('"') for key, _, value in parts if key == self.cookie][:_MOST]
        marks: dict[str, Mark] = {}
        for token in cookies + environ.get("HTTP_X_C2C_DB_LSN", "").split()[: 2 * _MOST]:
            marks = merge(marks, self.read(token).items())
        return marks

    def _is_sane(self, mark: Mark) -> bool:
        position_is_sane = mark.position is None or (type(mark.position) is int and 0 <= mark.position < _HIGHEST)
        return position_is_sane and -_CLOCK_SKEW <= self._clock() - mark.at < LIFETIME


@lru_cache(8)
def _key_of(secret: str) -> str:
    return hashlib.scrypt(secret.encode(), salt=b"c2c_db read your writes", n=2**14, r=8, p=1).hex()


def brings_marks(environ: Mapping[str, Any]) -> bool:
    """Tell whether a request may carry marks: most don't, and pay this line only."""
    return COOKIE in environ.get("HTTP_COOKIE", "") or "HTTP_X_C2C_DB_LSN" in environ


@dataclass(frozen=True, slots=True)
class Written:
    """What was committed for a client: the mark, the server that has it, and what signs it."""

    tokens: Tokens
    server: str
    mark: Mark


def tell(request: Any, response: Any, written: Iterable[Written]) -> None:
    """Give a client what it wrote, cookie and header; what goes wrong is logged once: the write is committed."""
    words: list[str] = []
    by_cookie: dict[str, list[Written]] = {}
    for one in written:
        by_cookie.setdefault(one.tokens.cookie, []).append(one)
    try:
        for name, ours in by_cookie.items():
            tokens = ours[0].tokens
            token = tokens.sign(merge(tokens.of_request(request.environ), [(one.server, one.mark) for one in ours]))
            words += [format_lsn(one.mark.position) for one in ours if one.mark.position is not None][:1]
            words.append(token)
            secure = request.scheme == "https"
            response.set_cookie(name, token, max_age=LIFETIME, secure=secure, httponly=True, samesite="Lax")
        response.headers[HEADER] = " ".join(words)
    except Exception as error:  # noqa: BLE001 # whatever a response of the application's raises
        warn_once(_LOG, "A client can't be told what it wrote (%r): it may not read it at once", error)
