"""Who is an operator."""

from c2c_broadcast import auth_view, is_auth
from c2c_compat._access import get_expected_secret, is_enabled

__all__ = ["auth_view", "get_expected_secret", "is_auth", "is_enabled"]
