"""Who is an operator."""

from c2c_broadcast import auth_view
from c2c_compat._access import (
    AuthConfig,
    AuthenticationType,
    UserDetails,
    auth_type,
    check_access,
    check_access_config,
    get_expected_secret,
    is_auth,
    is_auth_user,
    is_enabled,
)

__all__ = [
    "AuthConfig",
    "AuthenticationType",
    "UserDetails",
    "auth_type",
    "auth_view",
    "check_access",
    "check_access_config",
    "get_expected_secret",
    "is_auth",
    "is_auth_user",
    "is_enabled",
]

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
