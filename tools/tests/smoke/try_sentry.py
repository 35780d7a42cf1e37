"""Try c2c-sentry."""

import sentry_sdk
from call import NOBODY, add_view, configure, get


def _fail(_: object) -> None:
    raise ValueError("reported")


def alone() -> None:
    """Serve without Sentry, and with one that does not answer; what is raised passes."""
    for settings in ({}, {"c2c__sentry__url": f"http://key@{NOBODY}/1"}):
        config = configure("c2c_sentry", **settings)
        add_view(config, lambda _: 42)
        add_view(config, _fail, "/fail")
        app = config.make_wsgi_app()
        assert get(app, "/try").json == 42
        assert bool(sentry_sdk.get_client().dsn) == bool(settings), settings
        try:
            get(app, "/fail")
        except ValueError:
            continue
        raise AssertionError("the exception did not pass")
