"""The Python profiler as a WSGI filter: ``app = filter_wsgi_app(app)``, or ``egg:c2c-debug#profiler`` in a pipeline."""

from c2c_debug.profiler.filter import filter_wsgi_app, paste_filter

__all__ = ["filter_wsgi_app", "paste_filter"]
