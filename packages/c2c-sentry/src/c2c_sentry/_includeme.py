"""What ``config.include("c2c_sentry")`` does."""

from typing import TYPE_CHECKING

from c2c_sentry._reporting import init

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
