"""Log-in with OpenID Connect, against a local provider."""

import hmac
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

OWN = {"Sec-Fetch-Site": "same-origin"}


def test_an_operator(provider, oidc, make_service, log_in):
    """Who has a value of the claim is an operator; it costs no question afterwards."""
    service = make_service(oidc)
    assert log_in(service, "oidc").status_int == 302
    assert service.get("/who").json == ["Ada L.", "ada", "", ["known", "read", "operate"], "oidc"]
    asked = len(provider.asked)
    assert service.post("/c2c/act", headers=OWN).json == {"did": True}
    assert service.get("/may").json is True
    assert service.get("/may?repository=camp/service").json is False
    assert service.post("/c2c/oidc-logout", headers=OWN).status_int == 303
    assert len(provider.asked) == asked
    assert service.get("/who").json is None


@pytest.mark.parametrize(
    ("groups", "levels"),
    [
        (["a", "Domain Admins"], 3),
        ("ops", 3),
        (["watchers"], 2),
        (["oops", "ops2", "OPS"], 1),
        ("opsx", 1),
        ([], 1),
        (None, 1),
        ({"ops": True}, 1),
        ([{"ops": 1}, 7, None], 1),
    ],
)
def test_levels(provider, oidc, make_service, log_in, groups, levels):
    """A claim is a text or a list of them, compared whole."""
    provider.user["groups"] = groups
    service = make_service(oidc)
    log_in(service, "oidc")
    assert len(service.get("/who").json[3]) == levels


@pytest.mark.parametrize(
    ("claim", "value", "user", "levels"),
    [
        ("realm_access.roles", "ops", {"realm_access": {"roles": ["ops"]}}, 3),
        ("https://camp.example/role", "ops", {"https://camp.example/role": "ops"}, 3),
        ("staff", "true", {"staff": True}, 3),
        ("staff", "true", {"staff": False}, 1),
        ("email", "a@b.example", {"email": "a@b.example", "email_verified": True}, 3),
        ("email", "a@b.example", {"email": "a@b.example", "email_verified": False}, 1),
    ],
)
def test_claims(provider, oidc, make_service, log_in, claim, value, user, levels):
    """The claim may be inside another one, a flag, or a mail address, which must be verified."""
    provider.user.update(user)
    service = make_service(oidc, **{"c2c.auth.oidc.claim": claim, "c2c.auth.oidc.operate": value})
    log_in(service, "oidc")
    assert len(service.get("/who").json[3]) == levels


def test_userinfo(provider, oidc, make_service, log_in):
    """A claim that is not in the token is asked for; what is said of somebody else counts for nothing."""
    provider.in_userinfo = True
    service = make_service(oidc)
    log_in(service, "oidc")
    assert service.get("/who").json[:2] == ["Ada L.", "ada"]
    provider.user["sub"] = "2"
    log_in(service, "oidc")
    assert service.get("/who").json == ["1", "1", "", ["known"], "oidc"]


def test_public_client(provider, oidc, make_service, log_in):
    """The client's secret is sent as all providers take it, in no form; without one the provider decides."""
    assert log_in(make_service(oidc), "oidc").status_int == 302
    (form,) = (form for _, path, form in provider.asked if path == "/token")
    assert "client_secret" not in form
    del oidc["c2c.auth.oidc.client_secret"]
    assert log_in(make_service(oidc), "oidc").status_int == 403


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        ({"aud": "another client"}, {}),
        ({"aud": ["another client", "x"]}, {}),
        ({"aud": ["the client", "another"]}, {}),
        ({"aud": ["the client", "another"], "azp": "another"}, {}),
        ({"azp": "another"}, {}),
        ({"aud": None}, {}),
        ({"iss": "https://evil.example"}, {}),
        ({"iss": None}, {}),
        ({"exp": 1_000_000_000}, {}),
        ({"exp": None}, {}),
        ({"iat": 9_999_999_999}, {}),
        ({"nonce": "of another log-in"}, {}),
        ({"nonce": None}, {}),
        ({"sub": None}, {}),
        ({}, {"kid": "unknown"}),
        ({}, {"crit": ["b64"], "b64": False}),
    ],
)
def test_bad_tokens(provider, oidc, make_service, log_in, claims, header):
    """A token for another client, of another issuer, too old, or for another log-in lets nobody in."""
    provider.claims, provider.header = claims, header
    _refused(make_service(oidc), log_in)


@pytest.mark.parametrize("how", ["none", "other key", "secret"])
def test_bad_signatures(provider, oidc, make_service, log_in, how):
    """A token that is not signed by the provider's key lets nobody in."""
    provider.key, provider.algorithm = {
        "none": ("", "none"),
        "other key": (rsa.generate_private_key(65537, 2048), "RS256"),
        "secret": ("the/client's secret" * 4, "HS256"),
    }[how]
    _refused(make_service(oidc), log_in)


def test_public_key_as_secret(provider, oidc, make_service, log_in, monkeypatch):
    """A token signed with the text of the public key, as if that were a secret, lets nobody in (RFC 8725, 2.1)."""
    public = provider.keys["one"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    whole = provider.id_token

    def forged(begun):
        payload = whole(begun).split(".")[1]
        header = urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').decode().rstrip("=")
        signature = hmac.digest(pem, f"{header}.{payload}".encode(), "sha256")
        return f"{header}.{payload}.{urlsafe_b64encode(signature).decode().rstrip('=')}"

    monkeypatch.setattr(provider, "id_token", forged)
    _refused(make_service(oidc), log_in)


def _refused(service, log_in):
    answer = log_in(service, "oidc")
    assert answer.status_int == 403, answer
    assert service.get("/who").json is None


def test_no_id_token(provider, oidc, make_service, log_in, monkeypatch):
    """An answer without an ID token, or with something in its place, lets nobody in."""
    for token in (None, 7, {}, "a.b.c", "é", "." * 1000):
        monkeypatch.setattr(provider, "id_token", lambda begun, token=token: token)
        _refused(make_service(oidc), log_in)


def test_key_rotation(provider, oidc, make_service, log_in):
    """A new key of the provider is taken at once, one that it has no more is not; its addresses are asked for, too."""
    service = make_service(oidc)
    log_in(service, "oidc")
    old = provider.keys.pop("one")
    provider.keys["two"] = rsa.generate_private_key(65537, 2048)
    assert log_in(service, "oidc").status_int == 302
    assert provider.count("/configuration") == 4  # at the begin and at the end of each
    provider.key, provider.header = old, {"kid": "one"}
    assert log_in(service, "oidc").status_int == 403


def test_another_issuer(provider, oidc, make_service):
    """A configuration that is of another issuer is not used."""
    service = make_service(oidc, **{"c2c.auth.oidc.issuer": provider.url + "/"})
    assert "is not that of" in service.get("/c2c/oidc-login", status=502).json["message"]


def test_after_an_hour(oidc, make_service, log_in, monkeypatch):
    """A session counts for an hour: by then a claim that was taken away does."""
    import time

    service = make_service(oidc)
    log_in(service, "oidc")
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + 3601)
    assert service.get("/who").json is None


def test_both(github, oidc, make_service, log_in):
    """GitHub and OpenID Connect may stand beside each other; one browser has one session."""
    service = make_service({**github, **oidc})
    log_in(service, "oidc")
    assert service.get("/who").json[4] == "oidc"
    log_in(service)
    assert service.get("/who").json[4] == "github"
    service.post("/c2c/oidc-logout", headers=OWN)
    assert service.get("/who").json is None
