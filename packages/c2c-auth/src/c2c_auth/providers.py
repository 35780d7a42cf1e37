"""Who says who somebody is: GitHub, and providers of OpenID Connect. Each question is bounded in time and size."""

import concurrent.futures
import contextlib
import hashlib
import importlib.util
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from c2c_auth.settings import AuthSettings
from c2c_broadcast import ConfigurationError
from c2c_broadcast.process import Pool
from c2c_broadcast.settings import warn_once

_LOG = logging.getLogger(__name__)

Level = Literal["known", "read", "operate"]
LEVELS: tuple[Level, ...] = ("known", "read", "operate")
MOST_RIGHTS = 10_000
_LONGEST_BODY = 1024 * 1024
_FRESH = 60.0
_KEPT_WHILE_AWAY = 600.0
_PAUSE_WHILE_AWAY = 10.0
# What a public key verifies: never "none", never a key that both sides have.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class LoginError(Exception):
    """A log-in does not succeed: the provider says no. The messages of these errors hold no secret."""


class NotBegunError(LoginError):
    """This browser has not begun the log-in that comes back, or too long ago."""


class AwayError(LoginError):
    """The provider did not answer, in time, with sense, or not for us now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who asks: ``levels`` are what they may now (``known``, ``read``, ``operate``).

    ``how`` is ``github``, ``oidc`` or ``secret``; with the secret nobody in particular asks. A session was ``renewed``
    and ``ends`` so many seconds after the epoch. ``token`` is GitHub's, to ask for the rights with; ``refresh`` gets
    another one where it expires.
    """

    how: str
    login: str
    name: str
    url: str = ""
    levels: tuple[Level, ...] = ()
    renewed: float = 0.0
    ends: float = 0.0
    token: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)


class Asker:
    """Asks one provider, for some seconds at most."""

    title: str

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        # Neither a look-up of a name nor an answer that drips is bounded by a socket's time-out.
        self._pool = Pool(f"c2c-auth-{self.title}", threads=8, queued=50)
        self._away = False

    def ask(
        self, method: str, url: str, *, bearer: str = "", timeout: float = 5.0, **more: Any
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON object that was answered; AwayError where none came, or one without sense."""
        future: concurrent.futures.Future[tuple[int, dict[str, Any]]] = concurrent.futures.Future()
        until = time.monotonic() + timeout

        def work() -> None:
            try:
                future.set_result(_asked(method, url, until, bearer, more))
            except Exception as error:  # noqa: BLE001 # raised where one waits
                future.set_exception(error)

        why = ""
        try:
            self._pool.submit(work)
            return future.result(timeout)
        except Exception as error:  # noqa: BLE001 # whatever libraries raise for what a server says
            why = f"{urlsplit(url).netloc}: {error if isinstance(error, AwayError) else type(error).__name__}"
            raise AwayError(f"it does not answer, try again ({why})") from None
        finally:
            away, self._away = self._away, bool(why)
            if away != self._away:
                _LOG.warning("%s %s", self.title, f"does not answer: {why}" if why else "answers again")


def _asked(method: str, url: str, until: float, bearer: str, more: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    import requests  # 4 MB, for those who log in only

    left = until - time.monotonic()  # less than asked for, where other questions were before this one
    headers = {"Accept": "application/json", "User-Agent": "c2c-auth"}
    headers |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
    more["auth"] = more.get("auth") or (lambda request: request)  # else a .netrc would win
    with requests.request(method, url, headers=headers, timeout=left, stream=True, **more) as response:
        body = b""
        # As it comes: an answer that drips is cut at its time.
        while chunk := response.raw.read1(64 * 1024, decode_content=True):
            body += chunk
            if len(body) > _LONGEST_BODY or time.monotonic() > until:
                raise AwayError("an answer too long or too slow")
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        raise AwayError(f"status {response.status_code}")
    data: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        data = json.loads(body)
    return response.status_code, data if isinstance(data, dict) else {}


class GitHub(Asker):
    """GitHub: the rights on a repository decide, asked for once a minute, counting for ten while GitHub is away."""

    name = "github"
    title = "GitHub"
    lifetime = 7 * 24 * 3600

    def __init__(self, settings: AuthSettings) -> None:
        super().__init__(settings)
        self._clock = time.monotonic
        # Rights, None where the token is no longer good; until when they count, and when to ask again.
        self._known: dict[bytes, tuple[frozenset[str] | None, float, float]] = {}

    def authorization(self) -> tuple[str, dict[str, Any]]:
        """Return where a log-in begins, and its parameters besides those of all providers."""
        settings = self._settings
        return settings.github_auth_url, {"client_id": settings.github_client_id, "scope": settings.github_scope}

    def identify(self, grant: dict[str, str], _nonce: str) -> Operator:
        """Return whom a code is for. LoginError: GitHub does not take it."""
        tokens = self._tokens(grant)
        status, user = self.ask("GET", self._settings.github_user_url, bearer=tokens["token"])
        login = user.get("login")
        if status != HTTPStatus.OK or not isinstance(login, str):
            raise LoginError("it does not take the code")
        name, url = str(user.get("name") or login), str(user.get("html_url") or "")
        return Operator(how=self.name, login=login, name=name, url=url, **tokens)

    def now(self, who: Operator) -> Operator | None:
        """Return a session with what it gives now, None where GitHub does not know its token any more."""
        settings = self._settings
        rights = self._rights(who.token, settings.github_repository or "")
        if rights is None and who.refresh:  # a GitHub App's, after eight hours
            with contextlib.suppress(AwayError):
                tokens = self._tokens({"grant_type": "refresh_token", "refresh_token": who.refresh})
                who = replace(who, renewed=0.0, **tokens)
                rights = self._rights(who.token, settings.github_repository or "") if who.token else None
        if rights is None:
            return None
        lower = LEVELS[:2] if settings.github_read_access_type in rights else LEVELS[:1]
        return replace(who, levels=LEVELS if settings.github_access_type in rights else lower)

    def _tokens(self, grant: dict[str, str]) -> dict[str, Any]:
        settings = self._settings
        client = {"client_id": settings.github_client_id, "client_secret": settings.github_client_secret}
        _, found = self.ask("POST", settings.github_token_url, data={**grant, **client})
        return {"token": str(found.get("access_token", "")), "refresh": str(found.get("refresh_token", ""))}

    def has_right(self, who: Operator, repository: str | None, access: str | None) -> bool:
        """Tell whether the user has a right on a repository; by default the one that makes an operator."""
        rights = self._rights(who.token, repository or self._settings.github_repository or "")
        return (access or self._settings.github_access_type) in (rights or ())

    def end(self, who: Operator) -> None:
        """Have GitHub forget the token, if it can in two seconds."""
        settings = self._settings
        client = (settings.github_client_id or "", settings.github_client_secret)
        url = f"{settings.github_user_url.removesuffix('/user')}/applications/{quote(client[0])}/token"
        with contextlib.suppress(AwayError):  # it was said; the cookie is gone, and the user can revoke it at GitHub
            self.ask("DELETE", url, json={"access_token": who.token}, auth=client, timeout=2.0)

    def _rights(self, token: str, repository: str) -> frozenset[str] | None:
        """Return the rights, none where they are not known; None where the token is no longer good."""
        key = hashlib.sha256(f"{token} {repository}".encode()).digest()
        now = self._clock()
        rights, until, again = self._known.get(key, (frozenset(), now, now))
        rights = rights if now < until else frozenset()
        if now < again:
            return rights
        # While one thread asks, others take what is known; and for a while after, where GitHub is away.
        self._known[key] = (rights, until, now + _PAUSE_WHILE_AWAY)
        if len(self._known) > MOST_RIGHTS:
            self._known.pop(next(iter([*self._known])), None)
        with contextlib.suppress(AwayError):
            rights = self._ask_rights(token, repository)
            self._known[key] = (rights, now + _KEPT_WHILE_AWAY, now + _FRESH)
        return rights

    def _ask_rights(self, token: str, repository: str) -> frozenset[str] | None:
        status, found = self.ask("GET", f"{self._settings.github_repo_url}/{quote(repository)}", bearer=token)
        if status == HTTPStatus.UNAUTHORIZED:
            return None
        if status == HTTPStatus.FORBIDDEN:  # too many requests, for one
            raise AwayError("403")
        rights: Any = found.get("permissions")
        if status != HTTPStatus.OK or not isinstance(rights, dict):
            return frozenset()
        if found.get("private") is False and self._settings.github_access_type == "pull":
            warn_once(_LOG, "Every GitHub account has `pull` on %s, which is public: ask for `push`", repository)
        return frozenset(name for name, has in rights.items() if has is True)


class OpenId(Asker):
    """A provider of OpenID Connect (Core 1.0, Discovery 1.0): a claim decides."""

    name = "oidc"
    title = "OpenID Connect"
    lifetime = 3600  # a claim that is taken away counts until then

    def __init__(self, settings: AuthSettings) -> None:
        super().__init__(settings)
        if importlib.util.find_spec("jwt") is None:
            raise ConfigurationError("C2C_AUTH_OIDC_ISSUER needs pip install 'c2c-auth[oidc]'")
        self._issuer = settings.oidc_issuer or ""
        self._client = settings.oidc_client_id or ""

    def authorization(self) -> tuple[str, dict[str, Any]]:
        """Return where a log-in begins, and its parameters besides those of all providers. AwayError: not known."""
        url = self._url(self._configuration(), "authorization_endpoint")
        return url, {"client_id": self._client, "scope": self._settings.oidc_scope}

    def identify(self, grant: dict[str, str], nonce: str) -> Operator:
        """Return whom a code is for. LoginError: it is not taken, or the token is not for this log-in."""
        # RFC 6749, 2.3.1: every provider takes the secret so.
        secret, endpoints = self._settings.oidc_client_secret, self._configuration()
        client = (quote(self._client, safe=""), quote(secret, safe="")) if secret else None
        form = {**grant, "client_id": self._client}
        _, token = self.ask("POST", self._url(endpoints, "token_endpoint"), data=form, auth=client)
        claims = self._verified(token.get("id_token"), nonce, self._url(endpoints, "jwks_uri"))
        if self._levels(claims) == LEVELS[:1] and "userinfo_endpoint" in endpoints:
            url, bearer = self._url(endpoints, "userinfo_endpoint"), str(token.get("access_token", ""))
            _, info = self.ask("GET", url, bearer=bearer)
            # Core 1.0, 5.3.2: another subject's must not be used.
            claims = {**info, **claims} if info.get("sub") == claims["sub"] else claims
        login = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])
        name, url = str(claims.get("name") or login), str(claims.get("profile") or "")
        return Operator(how=self.name, login=login, name=name, url=url, levels=self._levels(claims))

    def now(self, who: Operator) -> Operator:
        """Return a session with what it gives: what the claim gave at the log-in."""
        return replace(who, levels=(*who.levels,))

    def _verified(self, token: Any, nonce: str, keys: str) -> dict[str, Any]:
        """Return the claims of an ID token (Core 1.0, 3.1.3.7). The keys are asked for each time: they change."""
        import jwt

        _, answer = self.ask("GET", keys)
        if "keys" not in answer:
            raise AwayError("its answer has no keys")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            every = jwt.PyJWKSet.from_dict(answer).keys
            (key,) = [key for key in every if key.key_type != "oct" and kid in {None, key.key_id}]
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._client,
                issuer=self._issuer,
                leeway=60,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        # What parsers raise for what a provider should not say.
        except (jwt.PyJWTError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise LoginError(f"its token does not hold ({type(error).__name__})") from None
        party = claims.get("azp", self._client if claims["aud"] in (self._client, [self._client]) else None)
        if claims.get("nonce") != nonce or party != self._client:
            raise LoginError("its token is not for this log-in")
        return claims

    def _configuration(self) -> dict[str, Any]:
        _, found = self.ask("GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self._issuer:
            raise AwayError(f"its configuration is not that of {self._issuer}")
        return found

    def _url(self, endpoints: dict[str, Any], name: str) -> str:
        url = endpoints.get(name)
        if not isinstance(url, str) or urlsplit(url).scheme not in {"https", urlsplit(self._issuer).scheme}:
            raise AwayError(f"its configuration has no usable {name}")
        return url

    def _levels(self, claims: Mapping[str, Any]) -> tuple[Level, ...]:
        """Return what the claim gives."""
        name = self._settings.oidc_claim
        found: Any = claims
        for part in [name] if name in claims else name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if name == "email" and claims.get("email_verified") is False:
            return LEVELS[:1]
        texts = {"true" if one is True else str(one) for one in (found if isinstance(found, list) else [found])}
        if not texts.isdisjoint(self._settings.oidc_operate):
            return LEVELS
        return LEVELS[:1] if texts.isdisjoint(self._settings.oidc_read) else LEVELS[:2]
