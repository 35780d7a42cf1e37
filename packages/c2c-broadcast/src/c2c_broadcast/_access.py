"""Who operators are: policies, of which the shared secret is one; its cookie, and the lock for who guesses it."""

import contextlib
import hashlib
import hmac
import ipaddress
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any, Literal, Protocol
from weakref import WeakSet

from webob.cookies import JSONSerializer, SignedSerializer

from c2c_broadcast import broadcast
from c2c_broadcast._cached import cached
from c2c_broadcast._call import BroadcastError
from c2c_broadcast.process import family
from c2c_broadcast.settings import warn_once

_LOG = logging.getLogger(__name__)

SHORTEST_SECRET = 16
# The secret is looked for in forms, not in uploads.
LONGEST_FORM = 64 * 1024
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})

Level = Literal["none", "known", "read", "operate"]
RANKS = {"none": 0, "known": 1, "read": 2, "operate": 3}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a policy found in a request: a level, whose it is, by which way it came, and how many seconds ago.

    ``retry_after`` are seconds for which the client's address is locked.
    """

    level: Level = "none"
    identity: str = ""
    way: str = "none"
    age: float = 0.0
    retry_after: float = 0.0

    def at_least(self, level: Level) -> bool:
        """Tell whether this is enough for ``level``."""
        return RANKS[self.level] >= RANKS[level]


class OperatorPolicy(Protocol):
    """One way to know operators; ``config.add_operator_policy(policy)`` adds it. The best level of all counts."""

    def judge(self, request: Any) -> Credentials:
        """Return what the request brought. Asked once a request."""

    def remember(self, request: Any, response: Any) -> None:
        """Put on a successful answer what makes the client known the next time."""

    def challenge(self, request: Any) -> str | None:
        """Return the link by which a person logs in, None where there is none."""


class SecretPolicy:
    """The shared secret, as parameter or header, or the cookie set after a good parameter: it gives ``operate``."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        # An application that is mounted in another one gets its environ, and may have another secret.
        self._in_environ = f"c2c_broadcast.secret.{id(self)}"
        self.cookie = OperatorCookie(secret)
        self.lockout = Lockout(self.cookie)
        if len(secret) < SHORTEST_SECRET:
            warn_once(_LOG, "C2C_SECRET is shorter than %s characters: choose a longer one", SHORTEST_SECRET)

    def judge(self, request: Any) -> Credentials:
        """Return what the request brought; a wrong secret counts against its address, whatever it was sent to."""
        found = request.environ[self._in_environ] = self._judged(request)
        return found

    def _judged(self, request: Any) -> Credentials:
        given, way = _given_secret(request)
        if given is None:
            age = self.cookie.age(request)
            return Credentials() if age is None else Credentials("operate", "the secret", "cookie", age)
        if not given:
            return Credentials(way="logout")
        address = str(request.environ.get("REMOTE_ADDR") or "")
        if wait := self.lockout.remaining(address):
            return Credentials(way="locked", retry_after=wait)
        if hmac.compare_digest(given, self._secret.encode()):
            self.lockout.succeeded(address)
            return Credentials("operate", "the secret", way)
        self.lockout.failed(address)
        return Credentials(way="wrong")

    def remember(self, request: Any, response: Any) -> None:
        """Set, refresh or delete the cookie. Who sends the header sends it each time: only the parameter logs in."""
        found = request.environ.get(self._in_environ, Credentials())
        if found.way == "secret" or (found.way == "cookie" and found.age > REFRESH_AFTER):
            self.cookie.set(request, response, LIFETIME)
        elif found.way == "logout":
            self.cookie.set(request, response, 0)

    def challenge(self, _request: Any) -> str | None:
        """Return None: a secret is given, not asked for."""
        return None


def _given_secret(request: Any) -> tuple[bytes | None, str]:
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


def parameters(request: Any) -> Iterator[Mapping[str, Any]]:
    """Yield what was sent as parameters, in their order of importance: query, then form, where that is one.

    A body without Content-Length (chunked) is no form: nobody knows how much of it there is.

    Raises:
        ValueError: Something of it can't be read: bytes that are not UTF-8, a form without its boundary.
    """
    yield request.GET
    length = request.content_length
    if request.content_type in _FORMS and length is not None and length <= LONGEST_FORM:
        try:
            yield request.POST
        except Exception as error:  # WebOb raises DeprecationWarning for another charset, and whatever parsers raise
            raise ValueError("The form can't be read") from error


COOKIE = "C2C_SECRET"
LIFETIME = 7 * 24 * 3600
REFRESH_AFTER = 24 * 3600
_LONGEST_COOKIE = 1024
_CLOCK_SKEW = 300


class OperatorCookie:
    """Read and write the cookie that spares an operator the secret.

    It holds a time and a random text, signed (HMAC-SHA512) by a key that scrypt (RFC 7914) draws from the secret: who
    sees the cookie can't try out secrets faster than some dozens a second, and every process of the service, on any
    host, accepts it without storing it. Another secret makes all cookies void. Its name ends with characters drawn
    from the same key: two services of one host do not overwrite each other's.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    @cached
    def _key(self) -> str:
        # 50 ms, once a process, and only where it is used.
        return hashlib.scrypt(self._secret.encode(), salt=b"c2c operator cookie", n=2**14, r=8, p=1).hex()

    @cached
    def name(self) -> str:
        return f"{COOKIE}_{hashlib.sha256(self._key.encode()).hexdigest()[:6]}"

    @cached
    def _serializer(self) -> SignedSerializer:
        return SignedSerializer(self._key, "c2c_broadcast", "sha512", JSONSerializer())

    def age(self, request: Any) -> float | None:
        """Return how many seconds ago the request's cookie was made, None without a good one."""
        header = request.environ.get("HTTP_COOKIE") or ""
        if COOKIE not in header:
            return None
        # The other cookies are other applications', in whatever bytes: nothing of them is read.
        pairs = (part.strip().partition("=") for part in header.split(";"))
        value = next((value.strip('"') for name, _, value in pairs if name == self.name), "")
        try:
            content = self._serializer.loads(value[:_LONGEST_COOKIE].encode("ascii"))
            age = self._clock() - float(content["at"])
        except (ValueError, KeyError, TypeError):  # none, not ours, forged, cut, or of another time
            return None
        return max(age, 0.0) if -_CLOCK_SKEW <= age < LIFETIME else None

    def set(self, request: Any, response: Any, seconds: int) -> None:
        """Put a new cookie on the response, or have the client forget it where it is good for no time."""
        content = {"at": int(self._clock()), "by": token_urlsafe(16)}
        value = self._serializer.dumps(content).decode("ascii") if seconds else ""
        secure = request.scheme == "https"
        response.set_cookie(
            self.name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="Strict"
        )


ALLOWED_FAILURES = 5
FIRST_LOCK = 5.0
LONGEST_LOCK = 300.0
MOST_ADDRESSES = 10_000
_MOST_TOLD = 1_000
_LONGEST_QUESTION, _SHORTEST_QUESTION = 1.0, 0.03  # seconds
_CHANNEL = "c2c_wrong_secrets"


class Lockout:
    """Wrong secrets by client address.

    The fifth locks the address for 5 s; each one after doubles that, up to 5 minutes. At most 10,000 addresses are
    remembered, the least recent one goes first. An IPv6 client is its /64 network (RFC 4291, 2.5.4: a host may take
    any address in it). The processes of a service tell each other of each wrong secret, and a new one asks for those
    before it; the name of ``cookie`` tells applications with other secrets apart, without one nothing is told.
    ``clock`` gives seconds that only go forward.
    """

    def __init__(self, cookie: OperatorCookie | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.cookie = cookie
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._asked_in = 0
        if cookie is not None:
            _SHARED.add(self)
            broadcast.subscribe(_CHANNEL, _heard)

    def remaining(self, address: str) -> float:
        """Return for how many seconds ``address`` is still locked, 0 when it is not."""
        if self.cookie is not None and self._asked_in != os.getpid():
            self._asked_in = os.getpid()
            self._ask(self.cookie)
        found = self._failures.get(_network(address))
        return max(0.0, found[1] - self._clock()) if found else 0.0

    def failed(self, address: str, *, here: bool = True) -> None:
        """Count a wrong secret from ``address``, and lock it when these are too many; seen ``here``, tell the others.

        The process that was asked by the client says it in the log, once.
        """
        network = _network(address)
        with self._lock:
            count = self._failures.get(network, (0, 0.0))[0] + 1
            seconds = 0.0
            if count >= ALLOWED_FAILURES:
                seconds = min(FIRST_LOCK * 2 ** min(count - ALLOWED_FAILURES, 16), LONGEST_LOCK)
            self._keep(network, count, seconds)
        if here and seconds:
            _LOG.warning("%s wrong secrets from %s: locked for %.0f s", count, network or "(no address)", seconds)
        if here:
            self._tell(network, count)

    def succeeded(self, address: str, *, here: bool = True) -> None:
        """Forget the failures of ``address``, which knows the secret; seen ``here``, tell the others."""
        network = _network(address)
        with self._lock:
            found = self._failures.pop(network, None)
        if here and found is not None:
            self._tell(network, 0)

    def _keep(self, network: str, count: int, seconds: float) -> None:
        before, until = self._failures.pop(network, (0, 0.0))
        self._failures[network] = (max(count, before), max(until, self._clock() + seconds) if seconds > 0 else until)
        while len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def known(self) -> dict[str, tuple[int, float]]:
        """Return the failures of the networks that are locked or near it, and for how many seconds they still are."""
        with self._lock:
            newest = [item for item in reversed(self._failures.items()) if item[1][0] > 1][:_MOST_TOLD]
        now = self._clock()
        return {network: (count, max(0.0, until - now)) for network, (count, until) in newest}

    def _tell(self, network: str, count: int) -> None:
        broadcaster = broadcast.get_broadcaster()
        if self.cookie is not None and broadcaster.started:
            params = {"of": self.cookie.name, "network": network, "count": count}
            broadcaster.call(_CHANNEL, params, 0, others=False, own=False)

    def _ask(self, cookie: OperatorCookie) -> None:
        """Ask the processes that were there before this one, for a second at most; for a moment if one is stopped."""
        seconds = _SHORTEST_QUESTION if any(one.stopped for one in family().workers()) else _LONGEST_QUESTION
        with contextlib.suppress(BroadcastError):
            call = broadcast.get_broadcaster().call(_CHANNEL, {"of": cookie.name}, seconds, own=False)
            for answer in call.result().answers:
                for network, (count, seconds) in answer["known"].items():
                    with self._lock:
                        self._keep(network[:64], count, min(seconds, LONGEST_LOCK))


_SHARED: WeakSet[Lockout] = WeakSet()


def _heard(of: str, network: str | None = None, count: int = 0) -> dict[str, Any]:
    """Count, or forget, what another process has seen; without a network, answer what this one knows."""
    known: dict[str, tuple[int, float]] = {}
    for lockout in [one for one in list(_SHARED) if one.cookie is not None and one.cookie.name == of]:
        if network is None:
            known |= lockout.known()
        elif count:
            lockout.failed(network, here=False)
        else:
            lockout.succeeded(network, here=False)
    return {"known": known}


def _network(address: str) -> str:
    """Return what is counted for an address: itself, of IPv6 the /64 network; for what this returned, the same."""
    if ":" not in address:
        return address[:64]
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))
