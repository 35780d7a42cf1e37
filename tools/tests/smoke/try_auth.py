"""Try c2c-auth."""

from call import NOBODY, configure, get

_KEY = "a-key-of-some-length"
_GITHUB = {
    "c2c__auth__github__client_id": "client",
    "c2c__auth__github__client_secret": "secret",
    "c2c__auth__github__repository": "owner/name",
    "c2c__auth__github__auth__secret": _KEY,
}


def alone() -> None:
    """Serve without a log-in, and begin one with GitHub."""
    assert get(configure("c2c_auth").make_wsgi_app(), "/c2c/github-login").status == 404
    app = configure("c2c_auth", **_GITHUB).make_wsgi_app()
    answer = get(app, "/c2c/github-login")
    assert answer.status == 302, answer
    assert answer.headers["Location"].startswith("https://github.com/login/oauth/authorize?"), answer
    assert get(app, "/c2c/github-callback?code=1&state=2").status == 400


def oidc() -> None:
    """Begin a log-in with a provider that is away."""
    settings = {"issuer": f"http://{NOBODY}", "client_id": "client", "operate": "ops", "secret": _KEY}
    config = configure("c2c_auth", **{f"c2c__auth__oidc__{name}": value for name, value in settings.items()})
    assert get(config.make_wsgi_app(), "/c2c/oidc-login").status == 502
