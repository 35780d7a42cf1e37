"""What a client carries from its writes to its reads: signed marks, in a cookie and a header."""

import hashlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from webob.cookies import JSONSerializer, SignedSerializer

from c2c_db._lsn import format_lsn
from c2c_db._marks import Mark, merge

HEADER = "X-C2C-DB-LSN"
COOKIE = "c2c_db_lsn"
LIFETIME = 600
"""Seconds for which a mark counts: a replica that is further behind than this may show its client an older state."""
_LONGEST = 1024
_CLOCK_SKEW = 5.0
_HIGHEST = 2**64
_LOG = logging.getLogger(__name__)
# Of one name: a path and a domain each may have its own.
_MOST_COOKIES = 4


def _own_cookies(header: str) -> Iterator[str]:
    """Yield the values of our cookie; the others, which other applications of the host wrote, are not read."""
    found = (part.strip().partition("=") for part in header.split(";"))
    return itertools.islice((value.strip('"') for name, _, value in found if name == COOKIE), _MOST_COOKIES)


class Tokens:
    """Sign and read marks. What does not verify, is too old, or makes no sense counts as nothing.

    The key is drawn by scrypt (RFC 7914) from a secret that all processes of the service have; who sees a token can't
    try out secrets faster than some dozens a second.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock
        self._said = False

    @cached_property
    def _serializer(self) -> SignedSerializer:
        # 50 ms, once a process, and only where something is written or a token comes.
        key = hashlib.scrypt(self._secret.encode(), salt=b"c2c_db read your writes", n=2**14, r=8, p=1).hex()
        return SignedSerializer(key, "c2c_db", "sha512", JSONSerializer())

    def sign(self, marks: Mapping[str, Mark]) -> str:
        """Return the token of these marks, by database name."""
        content = {name: [mark.position, mark.at] for name, mark in marks.items()}
        return str(self._serializer.dumps(content).decode("ascii"))

    def read(self, token: str) -> dict[str, Mark]:
        """Return the marks of a token."""
        if not token or len(token) > _LONGEST:
            return {}
        try:
            content = self._serializer.loads(token.encode("ascii"))
            marks = {str(name): Mark(position, float(at)) for name, (position, at) in content.items()}
        except (ValueError, TypeError, AttributeError):  # forged, cut, or not ours
            return {}
        return {name: mark for name, mark in marks.items() if self._is_sane(mark)}

    def of_request(self, request: Any) -> dict[str, Mark]:
        """Return the marks that a request brought, in the cookie or the header."""
        environ = request.environ
        marks: dict[str, Mark] = {}
        if COOKIE in environ.get("HTTP_COOKIE", ""):  # most requests have none: they pay this line only
            for cookie in _own_cookies(environ["HTTP_COOKIE"]):
                marks = merge(marks, self.read(cookie))
        header = environ.get("HTTP_X_C2C_DB_LSN")
        if header:
            marks = merge(marks, self.read(header.rpartition(" ")[2]))
        return marks

    def on_response(self, request: Any, response: Any, marks: Mapping[str, Mark]) -> None:
        """Give the client what it wrote: cookie and header."""
        all_marks = merge(self.of_request(request), marks)
        token = self.sign(all_marks)
        position = next((mark.position for mark in marks.values() if mark.position is not None), None)
        response.headers[HEADER] = token if position is None else f"{format_lsn(position)} {token}"
        response.set_cookie(
            COOKIE,
            token,
            max_age=LIFETIME,
            path="/",
            secure=request.scheme == "https",
            httponly=True,
            samesite="Lax",
        )

    def try_on_response(self, request: Any, response: Any, marks: Mapping[str, Mark]) -> None:
        """Do the same; what goes wrong is logged once: the write is committed, and its answer says so."""
        try:
            self.on_response(request, response, marks)
        except Exception:  # noqa: BLE001 # whatever a response of the application's raises
            if not self._said:
                self._said = True
                _LOG.exception("A client can't be told what it wrote (said once): it may not read it at once")

    def _is_sane(self, mark: Mark) -> bool:
        position_is_sane = mark.position is None or (type(mark.position) is int and 0 <= mark.position < _HIGHEST)
        return position_is_sane and -_CLOCK_SKEW <= self._clock() - mark.at < LIFETIME
