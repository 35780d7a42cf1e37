"""Paste filters: ``egg:c2cwsgiutils#client_info``, ``#sentry``, for whoever asks PasteDeploy itself, as gunicorn."""

from collections.abc import Callable, Mapping
from typing import Any

Wrap = Callable[[Any], Any]


def client_info(global_conf: Mapping[str, str] | None, **local_conf: str) -> Wrap:
    """Return what puts the proxy filter round an application."""
    from c2c_rest.client_info import filter_app

    return lambda application: filter_app(application, global_conf, **local_conf)


def sentry(global_conf: Mapping[str, str] | None, **local_conf: str) -> Wrap:
    """Return what has errors of an application reported."""
    from c2c_sentry import filter_app_factory

    return lambda application: filter_app_factory(application, global_conf, **local_conf)
