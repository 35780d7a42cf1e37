"""Reporting what a WSGI application raises, whatever it is made with."""

from typing import Any

from c2c_sentry._reporting import REPORTING, init


def filter_wsgi_app(app: Any) -> Any:
    """Return the WSGI application, reporting what it raises; the same object where no DSN is configured."""
    init()
    if not REPORTING.active:
        return app
    from c2c_sentry import _sdk

    return _sdk.wrap(app)


def filter_app_factory(app: Any, global_conf: dict[str, str], **local_conf: str) -> Any:
    """Make the filter of an ini file: ``[filter:sentry]`` with ``use = egg:c2c-sentry#sentry``.

    Keys of the section, and of ``[DEFAULT]``, are settings: ``c2c.sentry.url``.
    """
    init({**global_conf, **local_conf})
    return filter_wsgi_app(app)
