"""The Python profiler as a WSGI filter."""

from c2c_debug.profiler import filter_wsgi_app

__all__ = ["filter_wsgi_app"]
