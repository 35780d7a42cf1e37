"""Reporting what an application raises: one of Pyramid, or any of WSGI."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from c2c_sentry._reporting import REPORTING, init

if TYPE_CHECKING:
    from pyramid.config import Configurator


def includeme(config: "Configurator") -> None:
    """Report errors to Sentry: ``config.include("c2c_sentry")``. Without a DSN nothing happens.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    from pyramid.tweens import EXCVIEW  # importing c2c_sentry imports no Pyramid

    config.include("c2c_broadcast")
    init(config.get_settings())
    config.add_tween("c2c_sentry._tween.tween_factory", over=EXCVIEW)


def filter_wsgi_app(app: Any, settings: Mapping[str, Any] | None = None) -> Any:
    """Return the WSGI application, reporting what it raises; the same object where no DSN is configured.

    Args:
        app: any WSGI application
        settings: as of an ini file, added to those of the application, or of the Pyramid application that was made
            last. The environment wins over them.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    from pyramid.config import global_registries  # importing c2c_sentry imports no Pyramid

    registry = getattr(app, "registry", None) or global_registries.last
    init({**(getattr(registry, "settings", None) or {}), **(settings or {})})
    if not REPORTING.active:
        return app
    from c2c_sentry import _sdk

    return _sdk.wrap(app)


def filter_app_factory(app: Any, global_conf: Mapping[str, str] | None, **local_conf: str) -> Any:
    """Make the filter of an ini file: ``[filter:sentry]`` with ``use = egg:c2c-sentry#sentry``.

    Keys of the section, and of ``[DEFAULT]``, are settings: ``c2c.sentry.url``.
    """
    return filter_wsgi_app(app, {**(global_conf or {}), **local_conf})
