"""Error reports to Sentry from Pyramid services and their scripts; the SDK is imported once a DSN is configured."""

from c2c_sentry._reporting import capture_exceptions, init
from c2c_sentry._settings import SentrySettings
from c2c_sentry._wsgi import filter_app_factory, filter_wsgi_app, includeme

__all__ = ["SentrySettings", "capture_exceptions", "filter_app_factory", "filter_wsgi_app", "includeme", "init"]
