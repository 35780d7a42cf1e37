"""The Python profiler: as a WSGI filter, and of a function."""

from c2c_compat._profile import Profile
from c2c_debug.profiler import filter_wsgi_app
from c2c_debug.profiler import paste_filter as filter_factory

__all__ = ["Profile", "filter_factory", "filter_wsgi_app"]
