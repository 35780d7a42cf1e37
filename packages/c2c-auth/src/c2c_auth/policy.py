"""Who logged in, as an operator of the base; the views of log-in and log-out, and their part of the index page."""

import base64
import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadGateway, HTTPBadRequest, HTTPForbidden, HTTPFound, HTTPSeeOther
from pyramid.threadlocal import get_current_request

from c2c_auth.github import GitHub
from c2c_auth.provider import AwayError, Level, LoginError, NotBegunError, Session
from c2c_auth.settings import AuthSettings
from c2c_broadcast import ConfigurationError, Credentials, Section, is_auth, json_error, load
from c2c_broadcast.settings import warn_once

if TYPE_CHECKING:
    from c2c_auth.oidc import OpenId

    Provider = GitHub | OpenId

_LOG = logging.getLogger(__name__)
_AUDIT = logging.getLogger("c2c_broadcast.audit")
_KEY = "c2c_auth.policy"
_LEVELS: tuple[Level, ...] = ("known", "read", "operate")
_STATUS = {LoginError: HTTPForbidden, NotBegunError: HTTPBadRequest, AwayError: HTTPBadGateway}
_IDLE = 12 * 3600
_RENEW_AFTER = 30 * 60
_STATE_LIFETIME = 600
# Browsers keep 4,096 bytes of a cookie with its name and attributes (RFC 6265, 6.1).
_LONGEST_COOKIE = 3_800


@dataclass(frozen=True, slots=True)
class Operator:
    """Who asks: ``levels`` are what they may (``known``, ``read``, ``operate``).

    ``how`` is ``github``, ``oidc`` or ``secret``; with the secret nobody in particular asks. ``token`` is GitHub's.
    """

    name: str
    login: str
    url: str
    levels: tuple[Level, ...]
    how: str
    token: str = field(default="", repr=False)


class Cookie:
    """A cookie that is encrypted and signed, under keys drawn (HKDF, RFC 5869) from the secrets.

    The first secret seals, all of them open. What was sealed for another ``purpose`` opens nowhere else. Nothing is
    stored in the service: each process, on any host, reads what another one wrote.
    """

    def __init__(self, name: str, secrets: tuple[str, ...], purpose: str) -> None:
        # 6 MB, for those who log in only.
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        self._name, self._invalid = name, InvalidToken
        keys = [HKDF(SHA256(), 32, None, purpose.encode()).derive(one.encode()) for one in secrets]
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])

    def find(self, request: Any, age: int, good: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        """Return what was sealed at most ``age`` seconds ago and is good. Other applications' cookies are not read."""
        for part in (request.environ.get("HTTP_COOKIE") or "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self._name and value.isascii() and len(value) <= _LONGEST_COOKIE:
                try:
                    content: dict[str, Any] = json.loads(self._fernet.decrypt(value.strip('"'), ttl=age))
                except self._invalid:  # forged, cut, of another service, or too old
                    continue
                if good(content):
                    return content
        return None

    def set(self, request: Any, response: Any, content: dict[str, Any], age: float, path: str = "/") -> None:
        """Set it, or delete it where there is no content. Lax: the browser comes back from the provider with it.

        Raises:
            LoginError: It is more than browsers keep.
        """
        value = self._fernet.encrypt(json.dumps(content).encode()).decode("ascii") if content else ""
        if len(value) > _LONGEST_COOKIE:
            raise LoginError("what the provider says is too long for a cookie")
        attributes = {"path": path, "secure": request.scheme == "https", "httponly": True, "samesite": "Lax"}
        response.set_cookie(self._name, value, max_age=int(age), **attributes)


class LoginPolicy:
    """Operators of the base by log-in. One cookie, whatever the provider."""

    def __init__(self, settings: AuthSettings, providers: list["Provider"]) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self.github = next((provider for provider in providers if isinstance(provider, GitHub)), None)
        self._proxy_url = settings.github_proxy_url
        # A session is void as soon as what it is for is another: service, repository, issuer, claim.
        about = [settings.github_client_id, settings.github_repository, settings.oidc_issuer, settings.oidc_client_id]
        about += [settings.oidc_claim, *settings.oidc_operate, *settings.oidc_read]
        self._session = Cookie(settings.cookie, settings.secret, f"c2c-auth session 1 {json.dumps(about)}")
        self._state = Cookie(f"{settings.cookie}-state", settings.secret, f"c2c-auth state 1 {json.dumps(about)}")
        # An application that is mounted in another one gets its environ.
        self._in_environ = f"c2c_auth.found.{id(self)}"

    def found(self, request: Any) -> tuple[Session, Level] | None:
        """Return who logged in, and what that gives now. Looked at once a request."""
        if self._in_environ not in request.environ:
            content = self._session.find(request, _IDLE, lambda one: one["ends"] > time.time())
            session = Session(**content) if content and content["provider"] in self.providers else None
            level = self.providers[session.provider].level(session) if session else None
            request.environ[self._in_environ] = (session, level) if level else None
        found: tuple[Session, Level] | None = request.environ[self._in_environ]
        return found

    # -- what the base asks of a policy ------------------------------------------------------------------------------

    def judge(self, request: Any) -> Credentials:
        """Return who logged in, and what that gives."""
        found = self.found(request)
        if found is None:
            return Credentials()
        session, level = found
        return Credentials(level, session.login, session.provider, max(0.0, time.time() - session.renewed))

    def remember(self, request: Any, response: Any) -> None:
        """Renew the cookie. The index page's form that forgets the secret ends the session, too."""
        found, now = self.found(request), time.time()
        if found and request.method == "POST" and request.POST.get("secret") == "":
            self._session.set(request, response, {}, 0)
        elif found and now - found[0].renewed > _RENEW_AFTER:
            self._keep(request, response, replace(found[0], renewed=now))

    def _keep(self, request: Any, response: Any, session: Session) -> None:
        self._session.set(request, response, asdict(session), min(_IDLE, session.ends - time.time()))

    def challenge(self, request: Any) -> str | None:
        """Return the link by which a person logs in."""
        try:
            return str(request.route_url(f"c2c_{next(iter(self.providers))}_login"))
        except KeyError:  # a mounted application, which has no such view
            return None

    # -- the views ---------------------------------------------------------------------------------------------------

    def login(self, request: Any, provider: "Provider") -> Any:
        """Send the browser to the provider, with a state, a nonce and a challenge (RFC 7636) of this log-in's own."""
        url, parameters = provider.authorization()
        begun = {one: secrets.token_urlsafe(32) for one in ("state", "nonce")}
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        parameters |= {
            **begun,
            "response_type": "code",
            "redirect_uri": self._redirect_uri(request, provider),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        response = HTTPFound(f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}")
        begun |= {"verifier": verifier, "provider": provider.name, "then": own_url(request)}
        self._keep_state(request, response, provider, begun, _STATE_LIFETIME)
        return response

    def callback(self, request: Any, provider: "Provider") -> Any:
        """Take who comes back from the provider. What was begun is good for one try, whatever comes of it."""
        given = f"{provider.name} {request.GET.get('state', '')}".encode()
        begun = self._state.find(
            request,
            _STATE_LIFETIME,
            lambda one: hmac.compare_digest(f"{one['provider']} {one['state']}".encode(), given),
        )
        if begun is None:
            raise NotBegunError("it was not begun in this browser, or too long ago: log in again")
        if "code" not in request.GET:
            raise LoginError(_plain(request.GET.get("error_description") or request.GET.get("error", "no code")))
        grant = {
            "grant_type": "authorization_code",
            "code": request.GET["code"],
            "redirect_uri": self._redirect_uri(request, provider),
            "code_verifier": begun["verifier"],
        }
        session = provider.identify(grant, begun["nonce"])
        session = replace(session, login=_plain(session.login), name=_plain(session.name))
        response = HTTPFound(begun["then"])
        self._keep(request, response, session)
        self._keep_state(request, response, provider, {}, 0)
        request.environ[self._in_environ] = None  # an older session is not renewed over this one
        _audit(request, session.login, provider, "logged in")
        return response

    def logout(self, request: Any, provider: "Provider") -> Any:
        """End the session where a page of this service asks; else show the index page, which has the button."""
        # Fetch Metadata (W3C), else Origin (RFC 6454); a POST without both is no browser's.
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin", request.host_url)
        if site != "same-origin" and (site or request.method != "POST" or origin != request.host_url):
            return HTTPSeeOther(own_url(request, given=""))
        found, request.environ[self._in_environ] = self.found(request), None
        if found is not None:
            if self.github is not None and found[0].token:
                self.github.end(found[0])
            _audit(request, found[0].login, provider, "logged out")
        response = HTTPSeeOther(own_url(request))
        self._session.set(request, response, {}, 0)
        return response

    def view(self, name: str, provider: "Provider") -> Callable[[Any], Any]:
        """Return one of the three above, with its errors as answers."""
        step = getattr(self, name)

        def view(request: Any) -> Any:
            try:
                return step(request, provider)
            except LoginError as error:
                _audit(request, "somebody", provider, str(error))
                response = json_error(_STATUS[type(error)], f"No log-in with {provider.title}: {error}")
                self._keep_state(request, response, provider, {}, 0)
                return response

        return view

    def _keep_state(self, request: Any, response: Any, provider: "Provider", state: dict[str, Any], age: int) -> None:
        self._state.set(request, response, state, age, request.route_path(f"c2c_{provider.name}_callback"))

    def _redirect_uri(self, request: Any, provider: "Provider") -> str:
        uri = str(request.route_url(f"c2c_{provider.name}_callback"))
        if self._proxy_url and provider.name == "github":
            return f"{self._proxy_url}?{urlencode({'came_from': uri})}"
        return uri

    def __html__(self) -> str:
        """Return the part of the index page: who is logged in, or the links to log in."""
        request = get_current_request()
        found = self.found(request)
        if found is not None:
            session, level = found
            action = escape(request.route_path(f"c2c_{session.provider}_logout"))
            who = escape(f"{session.name} ({session.login}): {level}")
            return f'<form method="post" action="{action}">Logged in as {who} <button>Log out</button></form>'
        pairs = [(escape(request.route_path(f"c2c_{name}_login")), one.title) for name, one in self.providers.items()]
        return "".join(f'<p><a href="{link}">Log in with {title}</a></p>' for link, title in pairs)


def own_url(request: Any, given: str | None = None) -> str:
    """Return where to go afterwards: ``came_from`` where it is of this service, else the index page.

    What browsers read otherwise than it looks (backslashes, white space, control characters) is not followed.
    """
    given = request.params.get("came_from", "") if given is None else given
    if given.isascii() and given.isprintable() and not {" ", "\\"} & {*given}:
        if given.startswith("/") and not given.startswith("//"):
            return str(request.host_url + given)
        if f"{given}/".startswith(f"{request.host_url}/"):
            return str(given)
    try:
        return str(request.route_url("c2c_index"))
    except KeyError:  # no c2c-page
        return f"{request.application_url}/"


def _plain(text: str) -> str:
    """Return a text of others as it may stand in a line of the log."""
    return "".join(char if char.isprintable() else "?" for char in text[:100])


def _audit(request: Any, who: str, provider: "Provider", outcome: str) -> None:
    address = request.environ.get("REMOTE_ADDR") or "(no address)"
    _AUDIT.info("%s (%s) from %s: %s %s: %s", who, provider.name, address, request.method, request.path, outcome)


# -- the application's own questions ---------------------------------------------------------------------------------


def operator_of(request: Any) -> Operator | None:
    """Return who asks, None for anybody: ``request.c2c_operator``."""
    policy: LoginPolicy | None = request.registry.get(_KEY)
    found = policy.found(request) if policy is not None else None
    if (found is None or found[1] != "operate") and is_auth(request):
        return Operator("the secret", "", "", _LEVELS, "secret")
    if found is None:
        return None
    session, level = found
    levels = _LEVELS[: _LEVELS.index(level) + 1]
    return Operator(session.name, session.login, session.url, levels, session.provider, session.token)


def check_access(request: Any, repository: str | None = None, access: str | None = None) -> bool:
    """Tell whether who asks has a right on a repository of GitHub; by default what makes an operator.

    With the shared secret one may do everything; who came by OpenID Connect has no right on a repository.
    """
    who = operator_of(request)
    if who is None or who.how == "secret":
        return who is not None
    policy: LoginPolicy = request.registry[_KEY]
    found = policy.found(request)
    if policy.github is None or found is None or not who.token:
        return repository is None and access is None and "operate" in who.levels
    return policy.github.has_right(found[0], repository, access)


def includeme(config: Configurator) -> None:
    """Add the log-ins that are configured, ``request.c2c_operator``, and their part of the index page.

    Raises:
        ConfigurationError: A setting can't be read, or OpenID Connect is configured and its extra is not installed.
    """
    config.include("c2c_broadcast")
    if _KEY in config.registry:
        return
    settings = load(AuthSettings, config.get_settings())
    for line in settings.in_vain():
        warn_once(_LOG, line)
    if os.environ.get("C2C_USE_SESSION") or config.get_settings().get("c2c.use_session"):
        _LOG.debug("C2C_USE_SESSION has no effect: the state of a log-in is always checked, in a cookie of its own")
    configured = settings.providers()
    providers: list[Provider] = [GitHub(settings)] if "github" in configured else []
    if "oidc" in configured:
        try:
            from c2c_auth.oidc import OpenId
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"C2C_AUTH_OIDC_ISSUER needs pip install 'c2c-auth[oidc]': {error}") from error
        providers.append(OpenId(settings))
    policy = config.registry[_KEY] = LoginPolicy(settings, providers) if providers else None
    config.add_request_attribute("c2c_operator", property(operator_of))
    if policy is not None:
        for one in providers:
            for name, methods in (("login", "GET"), ("callback", "GET"), ("logout", ("GET", "POST"))):
                where = {"name": f"{one.name}_{name}", "path": f"/{one.name}-{name}", "methods": methods}
                config.add_operator_view(policy.view(name, one), **where, renderer=None, public=True)
        config.add_operator_policy(policy)
        config.add_section(Section(name="people", title="Log-in", order=5, operators_only=False, html=policy))
