"""Error reports to Sentry."""

from c2c_compat._filters import sentry as filter_factory
from c2c_compat._initialising import init_sentry as includeme
from c2c_sentry import capture_exceptions, filter_wsgi_app

__all__ = ["capture_exceptions", "filter_factory", "filter_wsgi_app", "includeme", "init"]

init = includeme
