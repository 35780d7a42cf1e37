"""Try c2c-meta."""

import subprocess
import sys
from pathlib import Path

from call import add_view, configure, get

import c2c_meta


def alone() -> None:
    """Ask an application that includes everything; its commands are there."""
    config = configure("c2c_meta")
    add_view(config, lambda _: {"hello": "world"})
    app = config.make_wsgi_app()
    assert get(app, "/try").json == {"hello": "world"}
    assert get(app, "/c2c/health_check").status == 200
    assert "c2c_route_seconds" in get(app, "/metrics").text
    assert get(app, "/c2c", operator=True).status == 200
    assert callable(c2c_meta.setup_session)
    command = Path(sys.prefix, "bin", "c2c-run")
    assert "usage" in subprocess.run([command, "--help"], check=True, capture_output=True, text=True).stdout.lower()


def auth() -> None:
    """Begin a log-in."""
    names = ("client_id", "client_secret", "auth__secret")
    settings = {f"c2c__auth__github__{name}": "a-text-of-some-length" for name in names}
    app = configure("c2c_meta", c2c__auth__github__repository="owner/name", **settings).make_wsgi_app()
    assert get(app, "/c2c/github-login").status == 302
    assert "Log in with GitHub" in get(app, "/c2c").text
    assert callable(c2c_meta.auth.check_access)


def testing() -> None:
    """Have the tools for tests under their short name."""
    assert c2c_meta.testing.Connection


def coverage() -> None:
    """Have the library that measures what runs."""
    import coverage as library

    assert library.__version__


def gevent() -> None:
    """Have the library of gunicorn's gevent workers."""
    import gevent as library

    assert library.__version__
