"""Who is an operator: the secret as parameter or header, or the cookie set after a good one."""

import hmac
import json
import logging
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from pyramid.httpexceptions import HTTPException, HTTPForbidden, HTTPTooManyRequests

from c2c_broadcast._cookie import REFRESH_AFTER, OperatorCookie
from c2c_broadcast._shared_lockout import SharedLockout
from c2c_broadcast.settings import BroadcastSettings

_LOG = logging.getLogger(__name__)
_KEY = "c2c_broadcast.access"

SHORTEST_SECRET = 16
# The secret is looked for in forms, not in uploads.
_LONGEST_FORM = 64 * 1024
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_HOW = "give the secret as parameter `secret` or header X-API-Key"

Way = Literal["secret", "header", "cookie", "wrong", "locked", "logout", "none"]


@dataclass(slots=True)
class Credentials:
    """What a request brought. A ``secret`` (parameter), ``header`` or ``cookie`` makes an operator, else none."""

    way: Way
    age: float = 0.0
    retry_after: float = 0.0
    counted: bool = False

    @property
    def operator(self) -> bool:
        """Whether the request is an operator's."""
        return self.way in {"secret", "header", "cookie"}


class Access:
    """The rules of one application: its secret, its cookies, its failures."""

    def __init__(self, settings: BroadcastSettings) -> None:
        self.secret = settings.secret
        # An application that is mounted in another one gets its environ, and may have another secret.
        self._in_environ = f"c2c_broadcast.credentials.{id(self)}"
        self.lockout = SharedLockout()
        self.cookie = OperatorCookie(settings.secret) if settings.secret else None
        if settings.secret and len(settings.secret) < SHORTEST_SECRET:
            _LOG.warning("C2C_SECRET is shorter than %s characters: choose a longer one", SHORTEST_SECRET)

    def judge(self, request: Any) -> Credentials:
        """Return what the request brought. Looked at once a request, changes nothing, raises nothing."""
        found = request.environ.get(self._in_environ)
        if not isinstance(found, Credentials):
            try:
                found = self._judge(request)
            except Exception:  # noqa: BLE001 # whatever a client sent must end in a plain "no"
                _LOG.debug("Unreadable credentials", exc_info=True)
                found = Credentials("none")
            request.environ[self._in_environ] = found
        return found

    def _judge(self, request: Any) -> Credentials:
        if self.secret is None or self.cookie is None:
            return Credentials("none")
        given, way = _given_secret(request)
        if given == b"":
            return Credentials("logout")
        if given is not None:
            if wait := self.lockout.remaining(address(request)):
                return Credentials("locked", retry_after=wait)
            good = hmac.compare_digest(given, self.secret.encode())
            return Credentials(way if good else "wrong")
        age = self.cookie.age(request)
        return Credentials("none") if age is None else Credentials("cookie", age=age)

    def count(self, request: Any) -> None:
        """Count a wrong secret against its client's address, a good one in its favour; once a request."""
        found = request.environ.get(self._in_environ)
        if isinstance(found, Credentials) and not found.counted:
            found.counted = True
            if found.way == "wrong":
                self.lockout.failed(address(request))
            elif found.way in {"secret", "header"}:
                self.lockout.succeeded(address(request))

    def require(self, request: Any, *, changes_state: bool = False) -> None:
        """Raise unless the request is an operator's, and may change state where it does.

        Raises:
            HTTPForbidden: No good secret, or a cookie where that is not enough.
            HTTPTooManyRequests: The client's address is locked; ``Retry-After`` says for how many seconds.
        """
        credentials = self.judge(request)
        self.count(request)
        if credentials.way == "locked":
            seconds = int(credentials.retry_after) + 1
            raise json_error(
                HTTPTooManyRequests,
                f"Too many wrong secrets from your address: try again in {seconds} s",
                {"Retry-After": str(seconds)},
            )
        if not credentials.operator:
            reason = "wrong secret" if credentials.way == "wrong" else "this is for operators"
            raise json_error(HTTPForbidden, f"Missing or invalid secret ({reason}): {_HOW}")
        if changes_state and credentials.way == "cookie":
            _require_same_origin(request)

    def remember(self, request: Any, response: Any) -> None:
        """Set, refresh or delete the cookie, as the request's credentials say.

        Who sends the header sends it each time: only the parameter is a log-in.
        """
        if self.cookie is None:
            return
        credentials = self.judge(request)
        if credentials.way == "secret" or (credentials.way == "cookie" and credentials.age > REFRESH_AFTER):
            self.cookie.set(request, response)
        elif credentials.way == "logout":
            self.cookie.delete(request, response)


def install(registry: Any, settings: BroadcastSettings) -> Access:
    """Return the application's access rules, made at the first call."""
    if _KEY not in registry:
        registry[_KEY] = Access(settings)
    access: Access = registry[_KEY]
    return access


def access_of(registry: Any) -> Access | None:
    """Return the application's access rules, None where the base is not included."""
    found: Access | None = registry.get(_KEY)
    return found


def is_auth(request: Any) -> bool:
    """Tell whether the request comes from an operator. No side effect, never raises."""
    access = access_of(request.registry)
    return access is not None and access.judge(request).operator


def auth_view(request: Any) -> None:
    """Let only operators pass.

    Raises:
        HTTPForbidden: The request is not an operator's.
        HTTPTooManyRequests: Its address sent too many wrong secrets.
    """
    access = access_of(request.registry)
    if access is None:
        raise json_error(HTTPForbidden, "No operator access: config.include('c2c_broadcast') is missing")
    access.require(request)


def json_error(kind: type[Any], message: str, headers: dict[str, str] | None = None) -> HTTPException:
    """Make an HTTP exception that is JSON for every client: ``{"message": str, "status": int}``."""
    body = json.dumps({"message": message, "status": kind.code}, indent=2).encode()
    error: HTTPException = kind(message, headers=headers, body=body, content_type="application/json", charset="UTF-8")
    return error


def address(request: Any) -> str:
    """Return the peer's address, as the server or the proxy filter says: a header anybody forges is not asked."""
    return str(request.environ.get("REMOTE_ADDR") or "")


def parameters(request: Any) -> list[Any]:
    """Return what was sent as parameters, in their order of importance: query, then form, where that is one.

    Raises:
        ValueError: Something of it can't be read: bytes that are not UTF-8, a form without its boundary.
    """
    is_form = request.content_type in _FORMS and (request.content_length or 0) <= _LONGEST_FORM
    return [request.GET, request.POST] if is_form else [request.GET]


def _given_secret(request: Any) -> tuple[bytes | None, Way]:
    """Return the secret that was sent, and how: of the query, else of the form, else of the header."""
    try:
        given = next((found["secret"] for found in parameters(request) if "secret" in found), None)
    except ValueError:  # then the header may still say who asks; what was asked is refused for itself
        given = None
    if given is not None:
        return str(given).encode("utf-8", "replace"), "secret"
    header = request.environ.get("HTTP_X_API_KEY")
    # WSGI hands headers over as latin-1 (PEP 3333).
    return (header.encode("latin-1", "replace"), "header") if header else (None, "none")


def _require_same_origin(request: Any) -> None:
    if request.method in {"GET", "HEAD"}:
        raise json_error(HTTPForbidden, f"The cookie alone does not change anything by GET: use POST, or {_HOW}")
    # Fetch Metadata (W3C), else Origin (RFC 6454).
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    same = site == "same-origin" if site is not None else _is_ours(origin, request)
    if not same:
        raise json_error(HTTPForbidden, f"The cookie changes nothing from another site: {_HOW}")


def _is_ours(origin: str | None, request: Any) -> bool:
    try:
        return origin is not None and urlsplit(origin)[:2] == (request.scheme, request.host.lower())
    except ValueError:  # http://[
        return False
