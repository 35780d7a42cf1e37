"""Paste filters: ``egg:c2cwsgiutils#client_info``, ``#sentry``, for whoever asks PasteDeploy itself, as gunicorn."""

from collections.abc import Callable, Mapping
from typing import Any


def factory(filter_app: Callable[..., Any]) -> Callable[..., Callable[[Any], Any]]:
    """Return the ``paste.filter_factory`` of what is a ``paste.filter_app_factory``."""

    def filter_factory(global_conf: Mapping[str, str] | None, **local_conf: str) -> Callable[[Any], Any]:
        """Return what puts the filter round an application."""
        return lambda application: filter_app(application, global_conf, **local_conf)

    return filter_factory
