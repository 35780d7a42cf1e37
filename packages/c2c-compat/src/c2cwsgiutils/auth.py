"""Who is an operator, and what may they do: questions that services ask themselves."""

from collections.abc import Mapping
from dataclasses import make_dataclass
from enum import Enum
from typing import Any, TypedDict

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound

import c2c_auth
import c2c_broadcast
from c2c_auth import AuthSettings, operator_of
from c2c_broadcast import BroadcastSettings, load, setting, settings_of

auth_view = c2c_broadcast.auth_view


class AuthenticationType(Enum):
    """How operators are known."""

    NONE = 0
    SECRET = 1
    GITHUB = 2


class AuthConfig(TypedDict, total=False):
    """The repository, and the right on it, that a part of a service asks for."""

    github_repository: str | None
    github_access_type: str | None


class UserDetails(TypedDict, total=False):
    """Who is logged in."""

    login: str
    name: str
    url: str
    token: Mapping[str, Any]


class _Token(dict[str, str]):
    """GitHub's token: a log shows none of it."""

    def __repr__(self) -> str:
        return "{'access_token': '***'}"


def auth_type(settings: Mapping[str, Any] | None) -> AuthenticationType:
    """Return how operators are known: by the secret where there is one, whatever else is set.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    if load(BroadcastSettings, settings or {}).secret is not None:
        return AuthenticationType.SECRET
    has_github = "github" in load(AuthSettings, settings or {}).providers()
    return AuthenticationType.GITHUB if has_github else AuthenticationType.NONE


def is_auth(request: Any) -> bool:
    """Tell whether somebody is logged in, with any account: what one may do, ``check_access`` tells."""
    return operator_of(request) is not None


def is_auth_user(request: Any) -> tuple[bool, UserDetails]:
    """Tell whether somebody is logged in, and who: with the secret nobody in particular."""
    who = operator_of(request)
    if who is None or who.how == "secret":
        return who is not None, {}
    token = _Token(access_token=who.token)
    return True, {"login": who.login, "name": who.name, "url": who.url, "token": token}


def check_access(request: Any, repo: str | None = None, access_type: str | None = None) -> bool:
    """Tell whether the user has a right on a repository, by default those of the settings; the secret has all."""
    return bool(c2c_auth.check_access(request, repo, access_type))


def check_access_config(request: Any, auth_config: AuthConfig) -> bool:
    """Tell whether the user has the right that a part of the service asks for; without a repository nobody has."""
    repository = auth_config.get("github_repository")
    if not repository:
        who = operator_of(request)
        return who is not None and who.how == "secret"
    return check_access(request, repository, auth_config.get("github_access_type") or None)


def add_routes(config: Configurator) -> None:
    """Have the addresses of the log-in, which services make by name, where there is none: they lead to the page."""
    if "github" not in load(AuthSettings, config.get_settings()).providers():
        for name in ("login", "callback", "logout"):
            config.add_operator_view(_to_the_page, name=f"github_{name}", path=f"/github-{name}", public=True)


def _to_the_page(_request: Any) -> HTTPFound:
    return HTTPFound(".")


def get_expected_secret(request: Any) -> str:
    """Return the operators' secret, "" where none is configured."""
    return settings_of(request.registry).secret or ""


def is_enabled(config: Any, env_name: str | None = None, config_name: str | None = None) -> bool:
    """Tell whether a view for operators has a place: somebody may be one, and its switch, where it has one, is on.

    Args:
        config: the Configurator
        env_name: the environment variable of the switch
        config_name: its ini key

    Raises:
        ConfigurationError: The switch is neither true nor false.
    """
    settings = config.get_settings()
    if auth_type(settings) is AuthenticationType.NONE:
        return False
    if env_name is None and config_name is None:
        return True
    switch = make_dataclass("_Switch", [("on", bool, setting(False, env=env_name, key=config_name, help="its switch"))])
    return bool(load(switch, settings).on)


# Names of the settings: environment, ini key.
SECRET_ENV, SECRET_PROP = "C2C_SECRET", "c2c.secret"
GITHUB_REPOSITORY_ENV, GITHUB_REPOSITORY_PROP = "C2C_AUTH_GITHUB_REPOSITORY", "c2c.auth.github.repository"
GITHUB_ACCESS_TYPE_ENV, GITHUB_ACCESS_TYPE_PROP = "C2C_AUTH_GITHUB_ACCESS_TYPE", "c2c.auth.github.access_type"
GITHUB_AUTH_URL_ENV, GITHUB_AUTH_URL_PROP = "C2C_AUTH_GITHUB_AUTH_URL", "c2c.auth.github.auth_url"
GITHUB_TOKEN_URL_ENV, GITHUB_TOKEN_URL_PROP = "C2C_AUTH_GITHUB_TOKEN_URL", "c2c.auth.github.token_url"
GITHUB_USER_URL_ENV, GITHUB_USER_URL_PROP = "C2C_AUTH_GITHUB_USER_URL", "c2c.auth.github.user_url"
GITHUB_REPO_URL_ENV, GITHUB_REPO_URL_PROP = "C2C_AUTH_GITHUB_REPO_URL", "c2c.auth.github.repo_url"
GITHUB_CLIENT_ID_ENV, GITHUB_CLIENT_ID_PROP = "C2C_AUTH_GITHUB_CLIENT_ID", "c2c.auth.github.client_id"
GITHUB_CLIENT_SECRET_ENV, GITHUB_CLIENT_SECRET_PROP = "C2C_AUTH_GITHUB_CLIENT_SECRET", "c2c.auth.github.client_secret"
GITHUB_SCOPE_ENV, GITHUB_SCOPE_PROP = "C2C_AUTH_GITHUB_SCOPE", "c2c.auth.github.scope"
GITHUB_AUTH_COOKIE_ENV, GITHUB_AUTH_COOKIE_PROP = "C2C_AUTH_GITHUB_COOKIE", "c2c.auth.github.auth.cookie"
GITHUB_AUTH_SECRET_ENV, GITHUB_AUTH_SECRET_PROP = "C2C_AUTH_GITHUB_SECRET", "c2c.auth.github.auth.secret"
GITHUB_AUTH_PROXY_URL_ENV, GITHUB_AUTH_PROXY_URL_PROP = "C2C_AUTH_GITHUB_PROXY_URL", "c2c.auth.github.auth.proxy_url"
USE_SESSION_ENV, USE_SESSION_PROP = "C2C_USE_SESSION", "c2c.use_session"
GITHUB_SCOPE_DEFAULT = "repo"
