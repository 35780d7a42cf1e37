"""Error reports to Sentry."""

from c2c_compat._include import filter_factory_of, including
from c2c_sentry import capture_exceptions, filter_app_factory, filter_wsgi_app
from c2c_sentry import init as init_alone

__all__ = ["capture_exceptions", "filter_factory", "filter_wsgi_app", "includeme", "init"]

filter_factory = filter_factory_of(filter_app_factory)
init = includeme = including("c2c_sentry", init_alone)
