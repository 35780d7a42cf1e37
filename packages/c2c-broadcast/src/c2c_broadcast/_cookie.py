"""The operator's cookie: signed by WebOb, random per log-in, and good for seven days."""

import hashlib
import secrets
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from webob.cookies import JSONSerializer, SignedSerializer
from webob.response import Response

NAME = "C2C_SECRET"
LIFETIME = 7 * 24 * 3600
REFRESH_AFTER = 24 * 3600
_LONGEST = 1024
_CLOCK_SKEW = 300


class OperatorCookie:
    """Read and write the cookie that spares an operator the secret.

    It holds a time and a random text, signed (HMAC-SHA512) by a key that scrypt (RFC 7914) draws from the secret: who
    sees the cookie can't try out secrets faster than some dozens a second, and every process of the service, on any
    host, accepts it without storing it. Another secret makes all cookies void.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    @cached_property
    def _serializer(self) -> SignedSerializer:
        # 50 ms, once a process, and only where a cookie is used.
        key = hashlib.scrypt(self._secret.encode(), salt=b"c2c operator cookie", n=2**14, r=8, p=1).hex()
        return SignedSerializer(key, "c2c_broadcast", "sha512", JSONSerializer())

    def age(self, request: Any) -> float | None:
        """Return how many seconds ago the request's cookie was made, None without a good one."""
        value = request.cookies.get(NAME)
        if not value or len(value) > _LONGEST:
            return None
        try:
            content = self._serializer.loads(value.encode("ascii"))
            age = self._clock() - float(content["at"])
        except (ValueError, KeyError, TypeError):  # not ours, forged, cut, or of another time
            return None
        return max(age, 0.0) if -_CLOCK_SKEW <= age < LIFETIME else None

    def set(self, request: Any, response: Response) -> None:
        """Put a new cookie on the response."""
        content = {"at": int(self._clock()), "by": secrets.token_urlsafe(16)}
        response.set_cookie(
            NAME,
            self._serializer.dumps(content).decode("ascii"),
            max_age=LIFETIME,
            path="/",
            secure=request.scheme == "https",
            httponly=True,
            samesite="Strict",
        )

    @staticmethod
    def delete(request: Any, response: Response) -> None:
        """Tell the browser to forget the cookie."""
        response.set_cookie(
            NAME,
            None,
            max_age=0,
            path="/",
            secure=request.scheme == "https",
            httponly=True,
            samesite="Strict",
        )
