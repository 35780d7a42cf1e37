"""Operators who log in with GitHub or OpenID Connect: ``config.include("c2c_auth")``.

Who logged in is an operator of the base (``config.add_operator_policy``), beside the shared secret.
"""

from typing import TYPE_CHECKING, Any

from c2c_auth.settings import AuthSettings

if TYPE_CHECKING:
    from pyramid.config import Configurator

    from c2c_auth.policy import Operator, check_access

__all__ = ["AuthSettings", "Operator", "check_access", "includeme"]


def __getattr__(name: str) -> Any:
    """Import what needs Pyramid and requests when it is asked for."""
    if name not in {"Operator", "check_access"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from c2c_auth import policy

    return getattr(policy, name)


def includeme(config: "Configurator") -> None:
    """Add the log-ins that are configured, ``request.c2c_operator``, and their part of the index page.

    Without settings of a log-in nothing is added but ``request.c2c_operator``.

    Raises:
        ConfigurationError: A setting can't be read, or OpenID Connect is configured and its extra is not installed.
    """
    from c2c_auth.policy import include

    include(config)
