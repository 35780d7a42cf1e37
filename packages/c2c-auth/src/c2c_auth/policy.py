"""Who logged in, as an operator of the base; the views of log-in and log-out, and their part of the index page."""

import base64
import contextlib
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from html import escape
from typing import Any
from urllib.parse import urlencode

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadGateway, HTTPBadRequest, HTTPForbidden, HTTPFound, HTTPSeeOther
from pyramid.threadlocal import get_current_request

from c2c_auth.providers import LEVELS, AwayError, GitHub, LoginError, NotBegunError, OpenId, Operator
from c2c_auth.settings import AuthSettings
from c2c_broadcast import Credentials, Section, is_auth, json_error, load
from c2c_broadcast.settings import warn_once

_LOG = logging.getLogger(__name__)
_AUDIT = logging.getLogger("c2c_broadcast.audit")
_KEY = "c2c_auth.policy"
_STATUS = {LoginError: HTTPForbidden, NotBegunError: HTTPBadRequest, AwayError: HTTPBadGateway}
_IDLE = 12 * 3600
_RENEW_AFTER = 30 * 60
_STATE_LIFETIME = 600
# Browsers keep 4,096 bytes of a cookie with its name and attributes (RFC 6265, 6.1).
_LONGEST_COOKIE = 3_800

Provider = GitHub | OpenId


class Cookie:
    """A cookie that is encrypted and signed, under keys drawn (HKDF, RFC 5869) from the secrets.

    The first secret seals, all of them open. What was sealed for another ``purpose`` opens nowhere else.
    """

    def __init__(self, name: str, secrets: tuple[str, ...], purpose: str) -> None:
        # 6 MB, for those who log in only.
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        self._name, self._invalid = name, InvalidToken
        keys = [HKDF(SHA256(), 32, None, purpose.encode()).derive(one.encode()) for one in secrets]
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])

    def find(self, request: Any, age: int) -> Iterator[dict[str, Any]]:
        """Yield what was sealed at most ``age`` seconds ago. Other applications' cookies are not read."""
        for part in (request.environ.get("HTTP_COOKIE") or "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self._name and value.isascii() and len(value) <= _LONGEST_COOKIE:
                with contextlib.suppress(self._invalid):  # forged, cut, of another service, or too old
                    yield json.loads(self._fernet.decrypt(value.strip('"'), ttl=age))

    def set(self, request: Any, response: Any, content: dict[str, Any], age: int, path: str = "/") -> None:
        """Set it, or delete it where there is no content. Lax: the browser comes back from the provider with it."""
        value = self._fernet.encrypt(json.dumps(content).encode()).decode("ascii") if content else ""
        if len(value) > _LONGEST_COOKIE:
            raise LoginError("what the provider says is too long for a cookie")
        attributes = {"path": path, "secure": request.scheme == "https", "httponly": True, "samesite": "Lax"}
        response.set_cookie(self._name, value, max_age=age, **attributes)


class LoginPolicy:
    """Operators of the base by log-in. One cookie, whatever the provider."""

    def __init__(self, settings: AuthSettings, providers: list[Provider]) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self._proxy_url = settings.github_proxy_url
        # Sealed for these settings: those of another service, repository, issuer or claim open nothing.
        about = json.dumps({**asdict(settings), "secret": None})
        self._session = Cookie(settings.cookie, settings.secret, f"c2c-auth session 1 {about}")
        self._state = Cookie(f"{settings.cookie}-state", settings.secret, f"c2c-auth state 1 {about}")
        # An application that is mounted in another one gets its environ.
        self._in_environ = f"c2c_auth.found.{id(self)}"

    def found(self, request: Any) -> Operator | None:
        """Return who logged in, and what that gives now. Looked at once a request."""
        if self._in_environ not in request.environ:
            content = next((one for one in self._session.find(request, _IDLE) if one["ends"] > time.time()), None)
            who = Operator(**content) if content else None
            now = self.providers[who.how].now(who) if who else None
            if now and not now.renewed:  # it has another token
                request.add_response_callback(self.remember)
            request.environ[self._in_environ] = now
        return request.environ[self._in_environ]  # type: ignore[no-any-return] # put there above

    def judge(self, request: Any) -> Credentials:
        """Return who logged in, and what that gives."""
        who = self.found(request)
        return Credentials(who.levels[-1], who.login, who.how) if who else Credentials()

    def remember(self, request: Any, response: Any) -> None:
        """Renew the cookie. The index page's form that forgets the secret ends the session, too."""
        who, now = self.found(request), time.time()
        if who and request.method == "POST" and request.POST.get("secret") == "":
            self._session.set(request, response, {}, 0)
        elif who and now - who.renewed > _RENEW_AFTER:
            request.environ[self._in_environ] = who = replace(who, renewed=now)
            self._session.set(request, response, asdict(who), _IDLE)

    def challenge(self, request: Any) -> str | None:
        """Return the link by which a person logs in."""
        try:
            return str(request.route_url(f"c2c_{next(iter(self.providers))}_login"))
        except KeyError:  # a mounted application, which has no such view
            return None

    def login(self, request: Any, provider: Provider) -> Any:
        """Send the browser to the provider, with a state, a nonce and a challenge (RFC 7636) of this log-in's own."""
        url, parameters = provider.authorization()
        back = request.route_url(f"c2c_{provider.name}_callback")
        if self._proxy_url and provider.name == "github":
            back = f"{self._proxy_url}?{urlencode({'came_from': back})}"
        begun = {one: secrets.token_urlsafe(48) for one in ("state", "nonce", "verifier")}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun["verifier"].encode()).digest()).decode().rstrip("=")
        parameters |= {"response_type": "code", "redirect_uri": back, "state": begun["state"], "nonce": begun["nonce"]}
        parameters |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        response = HTTPFound(f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}")
        begun |= {"redirect_uri": back, "provider": provider.name, "then": own_url(request)}
        self._state.set(request, response, begun, _STATE_LIFETIME, request.route_path(f"c2c_{provider.name}_callback"))
        return response

    def callback(self, request: Any, provider: Provider) -> Any:
        """Take who comes back from the provider."""
        given = f"{provider.name} {request.GET.get('state', '')}".encode()
        for begun in self._state.find(request, _STATE_LIFETIME):
            if hmac.compare_digest(f"{begun['provider']} {begun['state']}".encode(), given):
                break
        else:
            raise NotBegunError("it was not begun in this browser, or too long ago: log in again")
        if "code" not in request.GET:
            raise LoginError(_plain(request.GET.get("error_description") or request.GET.get("error", "no code")))
        grant = {"grant_type": "authorization_code", "code": request.GET["code"]}
        grant |= {"redirect_uri": begun["redirect_uri"], "code_verifier": begun["verifier"]}
        who, now = provider.identify(grant, begun["nonce"]), time.time()
        who = replace(who, login=_plain(who.login), name=_plain(who.name), renewed=now, ends=now + provider.lifetime)
        response = HTTPFound(begun["then"])
        self._session.set(request, response, asdict(who), _IDLE)
        request.environ[self._in_environ] = None  # an older session is not renewed over this one
        _audit(request, who.login, provider, "logged in")
        return response

    def logout(self, request: Any, provider: Provider) -> Any:
        """End the session where a page of this service asks; else show the index page, which has the button."""
        # Fetch Metadata (W3C), else Origin (RFC 6454); a POST without both is no browser's.
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin", request.host_url)
        if site != "same-origin" and (site or request.method != "POST" or origin != request.host_url):
            return HTTPSeeOther(own_url(request, ""))
        who, request.environ[self._in_environ] = self.found(request), None
        if who is not None:
            github = self.providers[who.how]
            if isinstance(github, GitHub):
                github.end(who)
            _audit(request, who.login, provider, "logged out")
        response = HTTPSeeOther(own_url(request))
        self._session.set(request, response, {}, 0)
        return response

    def view(self, name: str, provider: Provider) -> Callable[[Any], Any]:
        """Return one of the three above, with its errors as answers."""
        step = getattr(self, name)

        def view(request: Any) -> Any:
            try:
                response = step(request, provider)
            except LoginError as error:
                _audit(request, "somebody", provider, str(error))
                response = json_error(_STATUS[type(error)], f"No log-in with {provider.title}: {error}")
            if name == "callback":  # what was begun is good for one try, whatever comes of it
                self._state.set(request, response, {}, 0, request.path)
            return response

        return view

    def __html__(self) -> str:
        """Return the part of the index page: who is logged in, or the links to log in."""
        request = get_current_request()
        who = self.found(request)
        if who is not None:
            action = escape(request.route_path(f"c2c_{who.how}_logout"))
            shown = escape(f"{who.name} ({who.login}): {who.levels[-1]}")
            return f'<form method="post" action="{action}">Logged in as {shown} <button>Log out</button></form>'
        pairs = [(escape(request.route_path(f"c2c_{name}_login")), one.title) for name, one in self.providers.items()]
        return "".join(f'<p><a href="{link}">Log in with {title}</a></p>' for link, title in pairs)


def own_url(request: Any, given: str | None = None) -> str:
    """Return where to go afterwards: ``came_from`` where it is of this service, else the index page."""
    given = str(request.params.get("came_from", "")) if given is None else given
    if given.startswith("/") and not given.startswith("//"):
        given = request.host_url + given
    # What browsers read otherwise than it looks (backslashes, white space, control characters) is not followed.
    if f"{given}/".startswith(f"{request.host_url}/") and re.fullmatch(r"[!-\[\]-~]+", given):
        return given
    try:
        return str(request.route_url("c2c_index"))
    except KeyError:  # no c2c-page
        return f"{request.application_url}/"


def _plain(text: str) -> str:
    """Return a text of others as it may stand in a line of the log."""
    return "".join(char if char.isprintable() else "?" for char in text[:100])


def _audit(request: Any, who: str, provider: Provider, outcome: str) -> None:
    address = request.environ.get("REMOTE_ADDR") or "(no address)"
    _AUDIT.info("%s (%s) from %s: %s %s: %s", who, provider.name, address, request.method, request.path, outcome)


def operator_of(request: Any) -> Operator | None:
    """Return who asks, None for anybody: ``request.c2c_operator``."""
    policy: LoginPolicy | None = request.registry.get(_KEY)
    who = policy.found(request) if policy is not None else None
    if (who is None or "operate" not in who.levels) and is_auth(request):
        return Operator(how="secret", login="", name="the secret", levels=LEVELS)
    return who


def check_access(request: Any, repository: str | None = None, access: str | None = None) -> bool:
    """Tell whether who asks has a right on a repository of GitHub; by default what makes an operator.

    With the shared secret one may do everything; who came by OpenID Connect has no right on a repository.
    """
    who = operator_of(request)
    if who is None or who.how == "secret":
        return who is not None
    provider = request.registry[_KEY].providers[who.how]
    if isinstance(provider, GitHub):
        return provider.has_right(who, repository, access)
    return repository is None and access is None and "operate" in who.levels


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
    providers = [provider(settings) for provider in (GitHub, OpenId) if provider.name in settings.providers()]
    policy = config.registry[_KEY] = LoginPolicy(settings, providers) if providers else None
    config.add_request_attribute("c2c_operator", property(operator_of))
    if policy is None:
        return
    for one in providers:
        for name, methods in (("login", ["GET"]), ("callback", ["GET"]), ("logout", ["GET", "POST"])):
            view, route, path = policy.view(name, one), f"{one.name}_{name}", f"/{one.name}-{name}"
            config.add_operator_view(view, route, path, renderer=None, public=True, methods=methods)
    config.add_operator_policy(policy)
    config.add_section(Section(name="people", title="Log-in", order=5, operators_only=False, html=policy))
