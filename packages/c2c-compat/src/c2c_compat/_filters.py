"""Paste filters: ``egg:c2cwsgiutils#client_info``, ``#sentry``, for whoever asks PasteDeploy itself, as gunicorn."""

from collections.abc import Callable
from typing import Any

Factory = Callable[..., Callable[[Any], Any]]


def factory(filter_app: Callable[..., Any]) -> Factory:
    """Return the ``paste.filter_factory`` of what is a ``paste.filter_app_factory``."""
    return lambda global_conf=None, **local_conf: lambda application: filter_app(application, global_conf, **local_conf)
