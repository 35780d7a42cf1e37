"""Error reports to Sentry."""

from c2c_compat._initialising import init_sentry as init
from c2c_sentry import capture_exceptions, filter_wsgi_app

__all__ = ["capture_exceptions", "filter_wsgi_app", "init"]
