"""Questions about operators that services ask themselves."""

import os
from collections.abc import Mapping
from dataclasses import make_dataclass
from enum import Enum
from typing import Any, TypedDict

from c2c_broadcast import BroadcastSettings, is_auth, load, setting, settings_of

_SHORTEST_SECRET = 16
_GITHUB = {
    "C2C_AUTH_GITHUB_CLIENT_ID": "c2c.auth.github.client_id",
    "C2C_AUTH_GITHUB_CLIENT_SECRET": "c2c.auth.github.client_secret",
    "C2C_AUTH_GITHUB_REPOSITORY": "c2c.auth.github.repository",
    "C2C_AUTH_GITHUB_SECRET": "c2c.auth.github.auth.secret",
}


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


def auth_type(settings: Mapping[str, Any] | None) -> AuthenticationType:
    """Return how operators are known: by the secret where there is one, whatever else is set.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    if load(BroadcastSettings, settings or {}).secret is not None:
        return AuthenticationType.SECRET
    found = [os.environ.get(name) or (settings or {}).get(key) or "" for name, key in _GITHUB.items()]
    if all(found) and len(found[-1]) >= _SHORTEST_SECRET:
        return AuthenticationType.GITHUB
    return AuthenticationType.NONE


def is_auth_user(request: Any) -> tuple[bool, UserDetails]:
    """Tell whether somebody is logged in, and who: with the secret nobody in particular."""
    return is_auth(request), {}


def check_access(request: Any, repo: str | None = None, access_type: str | None = None) -> bool:  # noqa: ARG001 # with the secret there is one right
    """Tell whether the request is an operator's."""
    return bool(is_auth(request))


def check_access_config(request: Any, auth_config: AuthConfig) -> bool:
    """Tell whether the request has the right that a part of the service asks for."""
    return check_access(request, auth_config.get("github_repository"), auth_config.get("github_access_type"))


def get_expected_secret(request: Any) -> str:
    """Return the operators' secret, "" where none is configured."""
    return settings_of(request.registry).secret or ""


def is_enabled(config: Any, env_name: str | None = None, config_name: str | None = None) -> bool:
    """Tell whether a view for operators has a place: there is a secret, and its switch, where it has one, is on.

    Args:
        config: the Configurator
        env_name: the environment variable of the switch
        config_name: its ini key

    Raises:
        ConfigurationError: The switch is neither true nor false.
    """
    settings = config.get_settings()
    if load(BroadcastSettings, settings).secret is None:
        return False
    if env_name is None and config_name is None:
        return True
    switch = make_dataclass("_Switch", [("on", bool, setting(False, env=env_name, key=config_name, help="its switch"))])
    return bool(load(switch, settings).on)
