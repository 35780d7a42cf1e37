"""What the tests share: a local identity provider that speaks GitHub's and OpenID Connect's protocols, and services."""

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from pyramid.config import Configurator
from pyramid.response import Response
from webtest import TestApp

CLIENT, SECRET = "the client", "the/client's secret"
KEY = "a key of the cookie that is long enough"
REPOSITORY = "camp/service"
PRIVATE_KEY = rsa.generate_private_key(65537, 2048)


class IdentityProvider:
    """A local provider of identities.

    Attributes:
        user: who is in front of the browser: claims of OpenID Connect, ``login`` and ``name`` of GitHub's.
        rights: of that user, repository -> names.
        fails: path -> what its endpoint does instead: a status, ``slow``, ``drip``, ``garbage``, ``huge``.
        asked: all that was asked: (method, path, form).
        claims, header, key: what the next ID token has other than it should.
        revoked: tokens that are no longer good.
        expires: whether tokens expire, as a GitHub App's: then they come with one that is good for another one, once.
    """

    def __init__(self):
        self.user = {"login": "ada", "name": "Ada L.", "sub": "1", "preferred_username": "ada", "groups": ["ops", "x"]}
        self.rights = {REPOSITORY: ["pull", "push"]}
        self.private, self.in_userinfo, self.fails, self.asked = True, False, {}, []
        self.claims, self.header, self.key, self.algorithm = {}, {}, None, "RS256"
        self.codes, self.tokens, self.revoked = {}, {}, []
        self.expires, self.refreshes = False, {}
        self.keys = {"one": PRIVATE_KEY}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"provider": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.ended = threading.Event()
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        """End it, and whatever is slow in it."""
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    def count(self, path):
        """How often a path was asked."""
        return sum(one[1] == path for one in self.asked)

    def agree(self, location):
        """Do what a browser does at the provider: say yes; return the address that it is sent back to."""
        answer = requests.get(location, allow_redirects=False, timeout=30)
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    # -- the endpoints: a status and JSON, or a redirect ---------------------------------------------------------------

    def _get_authorize(self, query, form, headers):
        if query.get("code_challenge_method") != "S256" or query["client_id"] != CLIENT:
            return 400, {"error": "invalid_request"}
        code = token_urlsafe(8)
        self.codes[code] = query
        back = query["redirect_uri"]
        return 302, f"{back}{'&' if '?' in back else '?'}{urlencode({'code': code, 'state': query['state']})}"

    def _post_token(self, query, form, headers):
        begun = self.codes.pop(form.get("code"), None)
        user = self.refreshes.pop(form.get("refresh_token"), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        basic = base64.b64encode(
            urlencode({"": CLIENT})[1:].replace("+", "%20").encode() + b":the%2Fclient%27s%20secret"
        )
        known = form.get("client_secret") == SECRET or headers.get("Authorization") == f"Basic {basic.decode()}"
        if user is not None and known and form["grant_type"] == "refresh_token":
            return 200, self._new_token(user)
        if (
            not known
            or begun is None
            or begun["redirect_uri"] != form.get("redirect_uri")
            or begun["code_challenge"] != challenge.decode().rstrip("=")
        ):
            return 200, {"error": "bad_verification_code", "error_description": "wrong"}  # as GitHub: 200
        found = self._new_token(dict(self.user))
        if "openid" in begun.get("scope", ""):
            found["id_token"] = self.id_token(begun)
        return 200, found

    def _new_token(self, user):
        token = f"token-{token_urlsafe(8)}"
        self.tokens[token] = user
        found = {"access_token": token, "token_type": "bearer", "scope": "other,than,asked"}
        if self.expires:
            found |= {"expires_in": 28800, "refresh_token": f"refresh-{token_urlsafe(8)}"}
            self.refreshes[found["refresh_token"]] = user
        return found

    def id_token(self, begun):
        """Return the token that says who it is."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 60, "nonce": begun.get("nonce")}
        if not self.in_userinfo:
            claims |= self.user
        claims = {name: value for name, value in {**claims, **self.claims}.items() if value is not None}
        name, key = next(reversed(self.keys.items()))
        return jwt.encode(claims, key if self.key is None else self.key, self.algorithm, {"kid": name, **self.header})

    def _whose(self, headers):
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        return None if token in self.revoked else self.tokens.get(token)

    def _get_user(self, query, form, headers):
        user = self._whose(headers)
        return (401, {}) if user is None else (200, {**user, "html_url": "https://github.example/ada"})

    _get_userinfo = _get_user

    def _get_repos(self, query, form, headers):
        if self._whose(headers) is None:
            return 401, {"message": "Bad credentials"}
        rights = self.rights.get(query["rest"])
        if rights is None:
            return 404, {"message": "Not Found"}
        return 200, {"private": self.private, "permissions": {"pull": False, **dict.fromkeys(rights, True)}}

    def _delete_applications(self, query, form, headers):
        self.revoked.append(form["access_token"])
        return 204, None

    def _get_jwks(self, query, form, headers):
        keys = []
        for name, key in self.keys.items():
            made = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
            keys.append({**made, "kid": name, "use": "sig", "alg": "RS256"})
        return 200, {"keys": keys}

    def _get_configuration(self, query, form, headers):
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "userinfo_endpoint": "userinfo"}
        found = {name: f"{self.url}/{path}" for name, path in {**names, "jwks_uri": "jwks"}.items()}
        return 200, {"issuer": self.url, **found}


class _Handler(BaseHTTPRequestHandler):
    provider: IdentityProvider

    def log_message(self, *args):
        """Say nothing."""

    def _answer(self):
        parts = urlsplit(self.path)
        first, _, rest = parts.path.strip("/").partition("/")
        name = "configuration" if first == ".well-known" else first
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        is_json = self.headers.get("Content-Type") == "application/json"
        form = json.loads(body) if is_json else {key: value[-1] for key, value in parse_qs(body).items()}
        self.provider.asked.append((self.command, f"/{name}", form))
        fails = self.provider.fails.get(f"/{name}")
        if fails is not None:
            self._fail(fails)
            return
        query = {**dict(parse_qsl(parts.query)), "rest": rest}
        status, found = getattr(self.provider, f"_{self.command.lower()}_{name}")(query, form, self.headers)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", found)
        content = json.dumps(found).encode() if status not in {204, 302} else b""
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 # names of the standard library's

    def _fail(self, how):
        if how == "slow":
            self.provider.ended.wait(60)
            return
        self.send_response(how if isinstance(how, int) else 200)
        self.end_headers()
        try:
            if how == "garbage":
                self.wfile.write(b"[" * 100_000 + b"\xff\x00<html>")
            for _ in range(1_000 if how == "huge" else 0):
                self.wfile.write(b" " * 100_000)
            while how == "drip" and not self.provider.ended.wait(0.05):
                self.wfile.write(b" ")
        except OSError:  # who asked has gone
            return


@pytest.fixture
def provider():
    """Return a provider of this test's own."""
    made = IdentityProvider()
    yield made
    made.close()


@pytest.fixture
def github(provider):
    """Return the settings of a log-in with the local GitHub."""
    urls = {"auth_url": "authorize", "token_url": "token", "user_url": "user", "repo_url": "repos"}
    return {
        "c2c.auth.github.client_id": CLIENT,
        "c2c.auth.github.client_secret": SECRET,
        "c2c.auth.github.repository": REPOSITORY,
        "c2c.auth.github.auth.secret": KEY,
        **{f"c2c.auth.github.{name}": f"{provider.url}/{path}" for name, path in urls.items()},
    }


@pytest.fixture
def oidc(provider):
    """Return the settings of a log-in with the local provider of OpenID Connect."""
    return {
        "c2c.auth.oidc.issuer": provider.url,
        "c2c.auth.oidc.client_id": CLIENT,
        "c2c.auth.oidc.client_secret": SECRET,
        "c2c.auth.oidc.operate": "ops, Domain Admins",
        "c2c.auth.oidc.read": "watchers",
        "c2c.auth.github.auth.secret": KEY,
    }


def configured(settings):
    """Return a configurator of a service with views for operators and views of its own."""
    from c2c_auth import check_access
    from c2c_broadcast import sections

    config = Configurator(settings=settings)
    config.include("c2c_auth")
    config.add_operator_view(lambda request: {"did": True}, name="act", path="/act", changes_state=True)
    config.add_operator_view(lambda request: {"seen": True}, name="see", path="/see", level="read")

    def who(request):
        found = request.c2c_operator
        return None if found is None else [found.name, found.login, found.url, list(found.levels), found.how]

    def may(request):
        return check_access(request, request.GET.get("repository"), request.GET.get("access"))

    def page(request):
        (section,) = sections(request.registry)
        return Response(section.html.__html__())

    for view in (who, may, page):
        config.add_route(view.__name__, f"/{view.__name__}")
        config.add_view(view, route_name=view.__name__, renderer="json")
    return config


@pytest.fixture
def make_service():
    """Return a function that makes a service of settings, with a browser of its own."""

    def make(settings, **more):
        return TestApp(configured({**settings, **more}).make_wsgi_app())

    return make


@pytest.fixture
def log_in(provider):
    """Return a function that logs a browser in; it returns the last answer."""

    def log_in(service, name="github", came_from=""):
        begun = service.get(f"/c2c/{name}-login?{urlencode({'came_from': came_from})}", status=302)
        return service.get(provider.agree(begun.location), status="*")

    return log_in
