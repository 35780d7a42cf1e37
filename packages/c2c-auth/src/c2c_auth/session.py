"""What the browser keeps: the session, and the state of a log-in that has begun. Both encrypted and signed (Fernet).

Nothing is stored in the service: each process, on any host, can read what another one wrote.
"""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LIFETIME = 7 * 24 * 3600
IDLE = 12 * 3600
# Browsers keep 4,096 bytes of a cookie with its name and attributes (RFC 6265, 6.1).
LONGEST_COOKIE = 3_800


class Sealer:
    """Seal and open what goes into cookies, under keys drawn (HKDF, RFC 5869) from the secrets.

    The first secret seals, all of them open. What was sealed for another ``purpose`` opens nowhere else.
    """

    def __init__(self, secrets: tuple[str, ...], purpose: str) -> None:
        keys = [HKDF(SHA256(), 32, None, purpose.encode()).derive(one.encode()) for one in secrets]
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])

    def seal(self, content: dict[str, Any]) -> str:
        """Return the content as a text for a cookie."""
        return self._fernet.encrypt(json.dumps(content).encode()).decode("ascii")

    def open(self, text: str, age: int) -> dict[str, Any] | None:
        """Return what was sealed at most ``age`` seconds ago, None for anything else."""
        if not text.isascii() or len(text) > LONGEST_COOKIE:
            return None
        try:
            content: dict[str, Any] = json.loads(self._fernet.decrypt(text, ttl=age))
        except InvalidToken:  # forged, cut, of another service, or too old
            return None
        return content


@dataclass(frozen=True, slots=True)
class Session:
    """Who logged in with which provider. Seconds since the epoch: of the last renewal, and of the end.

    ``token`` is GitHub's, to ask for the rights with; ``values`` are those of OpenID Connect's claim.
    """

    provider: str
    login: str
    name: str
    url: str
    renewed: float
    ends: float
    token: str = field(default="", repr=False)
    values: tuple[str, ...] = ()

    def sealed(self, sealer: Sealer) -> str:
        """Return the cookie's value."""
        return sealer.seal(asdict(self))

    @classmethod
    def opened(cls, sealer: Sealer, value: str) -> "Session | None":
        """Return the session in a cookie's value, None where there is none that holds."""
        content = sealer.open(value, IDLE)
        session = cls(**content) if content else None
        return session if session is not None and time.time() < session.ends else None


def cookies(request: Any, name: str) -> Iterator[str]:
    """Yield the values of the cookies of one name. The others are other applications': nothing of them is read."""
    for part in (request.environ.get("HTTP_COOKIE") or "").split(";"):
        found, _, value = part.strip().partition("=")
        if found == name:
            yield value.strip('"')


def set_cookie(request: Any, response: Any, name: str, value: str, age: float, path: str = "/") -> None:
    """Set a cookie, or delete it. Lax: the browser comes back from the provider with it."""
    secure = request.scheme == "https"
    response.set_cookie(name, value, max_age=int(age), path=path, secure=secure, httponly=True, samesite="Lax")
