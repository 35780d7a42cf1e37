"""Log-in with OpenID Connect (Core 1.0, Discovery 1.0): a claim decides."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import jwt

from c2c_auth.provider import Asker, AwayError, Level, LoginError, Session
from c2c_auth.settings import AuthSettings

SESSION = 3600
"""Seconds for which a session counts: a claim that is taken away counts until then."""
_KEPT = 3600.0
_KEYS_ASKED_EVERY = 30.0
# What a public key verifies: never "none", never a key that both sides have.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class OpenId:
    """A provider of OpenID Connect."""

    name = "oidc"
    title = "OpenID Connect"

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        self._issuer = settings.oidc_issuer or ""
        self._client = settings.oidc_client_id or ""
        self._ask = Asker(self.title).ask
        self._documents: dict[str, tuple[float, dict[str, Any]]] = {}

    def authorization(self) -> tuple[str, dict[str, str]]:
        """Return where a log-in begins, and its parameters besides those of all providers.

        Raises:
            AwayError: The provider does not say.
        """
        return self._url("authorization_endpoint"), {"client_id": self._client, "scope": self._settings.oidc_scope}

    def identify(self, grant: dict[str, str], nonce: str) -> Session:
        """Return the session of whom a code is for.

        Raises:
            LoginError: The provider does not take the code, or its token is not for this log-in.
            AwayError: The provider does not answer.
        """
        # RFC 6749, 2.3.1: every provider takes the secret so.
        secret = self._settings.oidc_client_secret
        who = (quote(self._client, safe=""), quote(secret, safe="")) if secret else None
        form = {**grant, "client_id": self._client}
        _, token = self._ask("POST", self._url("token_endpoint"), data=form, auth=who)
        claims = self._verified(token.get("id_token"), nonce)
        if not self._values(claims) and "userinfo_endpoint" in self._configuration():
            _, info = self._ask("GET", self._url("userinfo_endpoint"), bearer=str(token.get("access_token", "")))
            # Core 1.0, 5.3.2: another subject's must not be used.
            claims = {**info, **claims} if info.get("sub") == claims["sub"] else claims
        login = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])
        name, url, now = str(claims.get("name") or login), str(claims.get("profile") or ""), time.time()
        return Session(self.name, login, name, url, now, now + SESSION, values=self._values(claims))

    def level(self, session: Session) -> Level:
        """Return what a session gives."""
        if not {*session.values}.isdisjoint(self._settings.oidc_operate):
            return "operate"
        return "known" if {*session.values}.isdisjoint(self._settings.oidc_read) else "read"

    def _verified(self, token: Any, nonce: str) -> dict[str, Any]:
        """Return the claims of an ID token (Core 1.0, 3.1.3.7)."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(jwt.get_unverified_header(token).get("kid")),
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

    def _key(self, kid: str | None) -> jwt.PyJWK:
        for kept in (_KEPT, _KEYS_ASKED_EVERY):  # an unknown key may be a new one
            keys = jwt.PyJWKSet.from_dict(self._document(self._url("jwks_uri"), kept)).keys
            found = [key for key in keys if key.key_type != "oct" and kid in {None, key.key_id}]
            if len(found) == 1:
                return found[0]
        raise jwt.InvalidKeyError

    def _configuration(self) -> dict[str, Any]:
        found = self._document(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration", _KEPT)
        if found.get("issuer") != self._issuer:
            raise AwayError(f"its configuration is not that of {self._issuer}")
        return found

    def _url(self, name: str) -> str:
        url = self._configuration().get(name)
        if not isinstance(url, str) or urlsplit(url).scheme not in {"https", urlsplit(self._issuer).scheme}:
            raise AwayError(f"its configuration has no usable {name}")
        return url

    def _document(self, url: str, kept: float) -> dict[str, Any]:
        """Return a document of the provider; one older than ``kept`` seconds is asked for again."""
        at, found = self._documents.get(url, (0.0, {}))
        if not found or time.monotonic() - at > kept:
            _, found = self._ask("GET", url)
            if not found:
                raise AwayError(f"{urlsplit(url).netloc}: no JSON object")
            self._documents[url] = (time.monotonic(), found)
        return found

    def _values(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """Return those values of the claim that matter here: a cookie is small, groups may be many."""
        name = self._settings.oidc_claim
        found: Any = claims.get(name)
        if found is None:
            found = claims
            for part in name.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
        if name == "email" and claims.get("email_verified") is False:
            return ()
        texts = {"true" if one is True else str(one) for one in (found if isinstance(found, list) else [found])}
        return tuple(sorted(texts & {*self._settings.oidc_operate, *self._settings.oidc_read}))
