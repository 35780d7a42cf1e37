"""Operators who log in with GitHub or OpenID Connect: ``config.include("c2c_auth")``.

Who logged in is an operator of the base (``config.add_operator_policy``), beside the shared secret.
"""

from c2c_auth.policy import check_access, includeme, operator_of
from c2c_auth.providers import Operator
from c2c_auth.settings import AuthSettings

__all__ = ["AuthSettings", "Operator", "check_access", "includeme", "operator_of"]
