"""Who logged in, as an operator of the base; the views of log-in and log-out, and their part of the index page."""

import contextlib
import hmac
import json
import logging
import secrets
import time
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from oauthlib.common import add_params_to_uri
from oauthlib.oauth2 import WebApplicationClient
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadGateway, HTTPBadRequest, HTTPForbidden, HTTPFound, HTTPSeeOther
from pyramid.threadlocal import get_current_request

from c2c_auth.github import GitHub
from c2c_auth.provider import AwayError, Level, LoginError, NotBegunError
from c2c_auth.session import IDLE, LONGEST_COOKIE, Sealer, Session, cookies, set_cookie
from c2c_auth.settings import AuthSettings
from c2c_broadcast import ConfigurationError, Credentials, Section, is_auth, json_error, load

if TYPE_CHECKING:
    from c2c_auth.oidc import OpenId

    Provider = GitHub | OpenId

_AUDIT = logging.getLogger("c2c_broadcast.audit")
_KEY = "c2c_auth.policy"
_RENEW_AFTER = 30 * 60
_STATE_LIFETIME = 600
_LEVELS: tuple[Level, ...] = ("known", "read", "operate")


@dataclass(frozen=True, slots=True)
class Operator:
    """Who asks: ``levels`` are what they may (``known``, ``read``, ``operate``).

    ``how`` is ``github``, ``oidc`` or ``secret``; with the secret nobody in particular asks.
    """

    name: str
    login: str
    url: str
    levels: tuple[Level, ...]
    how: str


@dataclass(slots=True)
class _Found:
    """What a request brought, and what becomes of its cookie: "", set or delete."""

    session: Session | None = None
    level: Level | None = None
    change: str = ""


class LoginPolicy:
    """Operators of the base by log-in. One cookie, whatever the provider."""

    def __init__(self, settings: AuthSettings, providers: list["Provider"]) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self._settings = settings
        # A session is void as soon as what it is for is another: service, repository, issuer, claim.
        about = [settings.github_client_id, settings.github_repository, settings.oidc_issuer, settings.oidc_client_id]
        about += [settings.oidc_claim, *settings.oidc_operate, *settings.oidc_read]
        self._sessions = Sealer(settings.secret, f"c2c-auth session 1 {json.dumps(about)}")
        self._states = Sealer(settings.secret, f"c2c-auth state 1 {json.dumps(about)}")
        # An application that is mounted in another one gets its environ.
        self._in_environ = f"c2c_auth.found.{id(self)}"

    def found(self, request: Any) -> _Found:
        """Return what the request brought. Looked at once a request."""
        found: _Found | None = request.environ.get(self._in_environ)
        if found is None:
            found = request.environ[self._in_environ] = self._read(request)
        return found

    def _read(self, request: Any) -> _Found:
        for value in cookies(request, self._settings.cookie):
            session = Session.opened(self._sessions, value)
            if session is not None and session.provider in self.providers:
                level = self.providers[session.provider].level(session)
                return _Found(session, level) if level else _Found(change="delete")
        return _Found()

    # -- what the base asks of a policy ------------------------------------------------------------------------------

    def judge(self, request: Any) -> Credentials:
        """Return who logged in, and what that gives."""
        found = self.found(request)
        if found.session is None or found.level is None:
            return Credentials()
        age = max(0.0, time.time() - found.session.renewed)
        return Credentials(found.level, found.session.login, found.session.provider, age)

    def remember(self, request: Any, response: Any) -> None:
        """Set, renew or delete the cookie. The index page's form that forgets the secret ends the session, too."""
        found, now = self.found(request), time.time()
        if found.session and request.method == "POST" and request.POST.get("secret") == "":
            found.change = "delete"
        if found.session and (
            found.change == "set" or (not found.change and now - found.session.renewed > _RENEW_AFTER)
        ):
            value = replace(found.session, renewed=now).sealed(self._sessions)
            set_cookie(request, response, self._settings.cookie, value, min(IDLE, found.session.ends - now))
        elif found.change == "delete":
            set_cookie(request, response, self._settings.cookie, "", 0)

    def challenge(self, request: Any) -> str | None:
        """Return the link by which a person logs in."""
        with contextlib.suppress(KeyError):  # a mounted application, which has no such view
            return str(request.route_url(f"c2c_{next(iter(self.providers))}_login"))
        return None

    # -- the views ---------------------------------------------------------------------------------------------------

    def login(self, request: Any, provider: "Provider") -> Any:
        """Send the browser to the provider, with a state, a nonce and a challenge (RFC 7636) of this log-in's own."""
        try:
            url, parameters = provider.authorization()
        except AwayError as error:
            return json_error(HTTPBadGateway, f"{provider.title} does not answer, try again: {error}")
        client = WebApplicationClient("")
        begun = {one: secrets.token_urlsafe(32) for one in ("state", "nonce")}
        verifier = client.create_code_verifier(64)
        parameters |= {
            **begun,
            "response_type": "code",
            "redirect_uri": self._redirect_uri(request, provider),
            "code_challenge": client.create_code_challenge(verifier, "S256"),
            "code_challenge_method": "S256",
        }
        response = HTTPFound(add_params_to_uri(url, list(parameters.items())))
        state = self._states.seal({**begun, "verifier": verifier, "then": own_url(request)})
        self._set_state(request, response, provider, state, _STATE_LIFETIME)
        return response

    def callback(self, request: Any, provider: "Provider") -> Any:
        """Take who comes back from the provider. What was begun is good for one try, whatever comes of it."""
        who = "somebody"
        try:
            session, then = self._identified(request, provider)
            who, outcome, response = session.login, "logged in", HTTPFound(then)
        except (LoginError, AwayError, NotBegunError) as error:
            kinds = {LoginError: HTTPForbidden, AwayError: HTTPBadGateway, NotBegunError: HTTPBadRequest}
            outcome = str(error)
            response = json_error(kinds[type(error)], f"No log-in with {provider.title}: {error}")
        self._set_state(request, response, provider, "", 0)
        _audit(request, who, provider, outcome)
        return response

    def _identified(self, request: Any, provider: "Provider") -> tuple[Session, str]:
        given = request.GET.get("state", "").encode()
        all_begun = (self._states.open(one, _STATE_LIFETIME) for one in cookies(request, self._state_name(provider)))
        begun = next((one for one in all_begun if one and hmac.compare_digest(one["state"].encode(), given)), None)
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
        session = replace(session, login=_plain(session.login), name=_plain(session.name), url=session.url[:200])
        if len(session.sealed(self._sessions)) > LONGEST_COOKIE:
            raise LoginError("its token is too long for a cookie")
        found = self.found(request)
        found.session, found.level, found.change = session, provider.level(session), "set"
        return session, begun["then"]

    def logout(self, request: Any, provider: "Provider") -> Any:
        """End the session where a page of this service asks; else show the index page, which has the button."""
        # Fetch Metadata (W3C), else Origin (RFC 6454); a POST without both is no browser's.
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin", request.host_url)
        if site == "same-origin" or (site is None and request.method == "POST" and origin == request.host_url):
            found = self.found(request)
            if found.session is not None:
                self.providers[found.session.provider].end(found.session)
                _audit(request, found.session.login, provider, "logged out")
            found.session, found.level, found.change = None, None, "delete"
            return HTTPSeeOther(own_url(request))
        return HTTPSeeOther(own_url(request, given=""))

    def _redirect_uri(self, request: Any, provider: "Provider") -> str:
        uri = str(request.route_url(f"c2c_{provider.name}_callback"))
        proxy = self._settings.github_proxy_url if provider.name == "github" else None
        return f"{proxy}?{urlencode({'came_from': uri})}" if proxy else uri

    def _state_name(self, provider: "Provider") -> str:
        return f"{self._settings.cookie}-{provider.name}-state"

    def _set_state(self, request: Any, response: Any, provider: "Provider", value: str, age: int) -> None:
        path = request.route_path(f"c2c_{provider.name}_callback")
        set_cookie(request, response, self._state_name(provider), value, age, path)

    def __html__(self) -> str:
        """Return the part of the index page: who is logged in, or the links to log in."""
        request = get_current_request()
        found = self.found(request)
        if found.session is not None:
            action = escape(request.route_path(f"c2c_{found.session.provider}_logout"))
            who = escape(f"{found.session.name} ({found.session.login}): {found.level}")
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
        if f"{given}/".startswith(f"{request.host_url}/") or given.startswith(f"{request.host_url}?"):
            return str(given)
    try:
        return str(request.route_url("c2c_index"))
    except KeyError:  # no c2c-page
        return str(request.application_url + "/")


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
    found = policy.found(request) if policy is not None else _Found()
    if found.level != "operate" and is_auth(request):
        return Operator("the secret", "", "", _LEVELS, "secret")
    if found.session is None or found.level is None:
        return None
    levels = _LEVELS[: _LEVELS.index(found.level) + 1]
    return Operator(found.session.name, found.session.login, found.session.url, levels, found.session.provider)


def check_access(request: Any, repository: str | None = None, access: str | None = None) -> bool:
    """Tell whether who asks has a right on a repository of GitHub; by default what makes an operator.

    With the shared secret one may do everything; who came by OpenID Connect has no right on a repository.

    Args:
        request: Pyramid's
        repository: ``owner/name``
        access: ``pull``, ``triage``, ``push``, ``maintain`` or ``admin``
    """
    policy: LoginPolicy | None = request.registry.get(_KEY)
    who = operator_of(request)
    if policy is None or who is None or who.how == "secret":
        return who is not None
    session = policy.found(request).session
    return session is not None and policy.providers[who.how].has_right(session, repository, access)


def include(config: Configurator) -> None:
    """Do what ``config.include("c2c_auth")`` does."""
    config.include("c2c_broadcast")
    if _KEY in config.registry:
        return
    settings = load(AuthSettings, config.get_settings())
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
        for provider in providers:
            for name, methods in (("login", "GET"), ("callback", "GET"), ("logout", ("GET", "POST"))):
                view = _view(getattr(policy, name), provider)
                where = {"name": f"{provider.name}_{name}", "path": f"/{provider.name}-{name}"}
                config.add_operator_view(view, **where, renderer=None, public=True, methods=methods)
        config.add_operator_policy(policy)
        config.add_section(Section(name="people", title="Log-in", order=5, operators_only=False, html=policy))


def _view(view: Any, provider: "Provider") -> Any:
    return lambda request: view(request, provider)
