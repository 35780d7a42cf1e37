"""The settings of the log-ins: those of GitHub under the names of c2cwsgiutils 6.1."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from c2c_broadcast import declarations, setting

AccessType = Literal["pull", "triage", "push", "maintain", "admin"]
SHORTEST_SECRET = 16
_NEEDED = {
    "github": ("github_client_id", "github_client_secret", "github_repository", "secret"),
    "oidc": ("oidc_issuer", "oidc_client_id", "oidc_operate", "secret"),
}
# Names that c2cwsgiutils 6.1 documented and did not read -> those that are read.
_NEVER_READ = {
    "C2C_AUTH_GITHUB_REPOSITORY_ACCESS_TYPE": "C2C_AUTH_GITHUB_ACCESS_TYPE",
    "C2C_AUTH_SECRET": "C2C_AUTH_GITHUB_SECRET",
    "C2C_AUTH_COOKIE": "C2C_AUTH_GITHUB_COOKIE",
}
_GITHUB, _API = "https://github.com/login/oauth", "https://api.github.com"


def _matching(pattern: str, example: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if not re.fullmatch(pattern, raw, re.ASCII):
            raise ValueError(f"must look like {example}")
        return raw

    return parse


# Tokens go there: http only to this machine, or a name without dots.
_url = _matching(
    r"(https://[^\s/?#@\[\]]+|http://(localhost|127(\.\d+){3}|\[::1\]|[\w-]+)(:\d+)?)([/?]\S*)?",
    f"{_GITHUB}/authorize, and begin with https:// (http: to this machine, or a name without dots)",
)


def _commas(raw: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in raw.split(",") if part.strip())


def _github(name: str, default: Any = None, *, key: str = "", **more: Any) -> Any:
    return setting(default, env=f"C2C_AUTH_GITHUB_{name}", key=f"c2c.auth.github.{key or name.lower()}", **more)


def _oidc(name: str, default: Any = None, **more: Any) -> Any:
    return setting(default, env=f"C2C_AUTH_OIDC_{name}", key=f"c2c.auth.oidc.{name.lower()}", **more)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)  # a repr would show the secrets
class AuthSettings:
    """Who may log in, how, and what that gives."""

    secret: tuple[str, ...] = _github(
        "SECRET",
        (),
        key="auth.secret",
        aliases=("C2C_AUTH_JWT_SECRET", "c2c.auth.jwt.secret", "C2C_AUTH_OIDC_SECRET", "c2c.auth.oidc.secret"),
        secret=True,
        parse=_commas,
        help="key of the session's cookie, 16 characters or more; several, with commas: the first seals, all open",
    )
    cookie: str = _github(
        "COOKIE",
        "c2c-auth",
        key="auth.cookie",
        aliases=("C2C_AUTH_JWT_COOKIE", "c2c.auth.jwt.cookie", "C2C_AUTH_OIDC_COOKIE", "c2c.auth.oidc.cookie"),
        parse=_matching(r"[\w.-]+", "c2c-auth"),
        help="name of the session's cookie",
    )
    github_client_id: str | None = _github("CLIENT_ID", help="of the OAuth application")
    github_client_secret: str | None = _github("CLIENT_SECRET", secret=True, help="of the OAuth application")
    github_repository: str | None = _github(
        "REPOSITORY", parse=_matching(r"\w[\w.-]*/[\w.-]+", "owner/name"), help="whose rights decide"
    )
    github_access_type: AccessType = _github("ACCESS_TYPE", "push", help="the right that makes an operator")
    github_read_access_type: AccessType | None = _github("READ_ACCESS_TYPE", help="the right that lets see")
    github_scope: str = _github("SCOPE", "repo", help="what is asked of the user")
    github_auth_url: str = _github("AUTH_URL", f"{_GITHUB}/authorize", parse=_url, help="for GitHub Enterprise")
    github_token_url: str = _github("TOKEN_URL", f"{_GITHUB}/access_token", parse=_url, help="for GitHub Enterprise")
    github_user_url: str = _github("USER_URL", f"{_API}/user", parse=_url, help="for GitHub Enterprise")
    github_repo_url: str = _github("REPO_URL", f"{_API}/repos", parse=_url, help="for GitHub Enterprise")
    github_proxy_url: str | None = _github(
        "PROXY_URL", key="auth.proxy_url", parse=_url, help="redirect proxy; gets the callback as `came_from`"
    )
    oidc_issuer: str | None = _oidc("ISSUER", parse=_url, help="what comes before `/.well-known/openid-configuration`")
    oidc_client_id: str | None = _oidc("CLIENT_ID", help="of this service at the provider")
    oidc_client_secret: str | None = _oidc("CLIENT_SECRET", secret=True, help="none for a public client")
    oidc_scope: str = _oidc("SCOPE", "openid profile", help="what is asked of the provider")
    oidc_claim: str = _oidc("CLAIM", "groups", help="the claim that decides; dots go inside: `realm_access.roles`")
    oidc_operate: tuple[str, ...] = _oidc("OPERATE", (), parse=_commas, help="its values that make an operator")
    oidc_read: tuple[str, ...] = _oidc("READ", (), parse=_commas, help="its values that let see")

    def providers(self) -> set[str]:
        """Return who is configured, of ``github`` and ``oidc``."""
        long = all(len(one) >= SHORTEST_SECRET for one in self.secret)
        return {name for name, needed in _NEEDED.items() if long and all(getattr(self, one) for one in needed)}

    def in_vain(self) -> Iterator[str]:
        """Yield what is to be said of settings that have no effect."""
        yield from (f"Nothing reads {name}: use {right}" for name, right in _NEVER_READ.items() if os.environ.get(name))
        if any(len(one) < SHORTEST_SECRET for one in self.secret):
            yield f"No log-in: each of C2C_AUTH_GITHUB_SECRET (commas separate several) needs {SHORTEST_SECRET} letters"
        for needed in _NEEDED.values():
            missing = [str(declarations(AuthSettings)[one][0].env) for one in needed if not getattr(self, one)]
            if missing and any(getattr(self, one) for one in needed if one != "secret"):
                yield f"No log-in without {', '.join(missing)}"
