"""What ``config.include("c2c_sentry")`` does."""

from pyramid.config import Configurator
from pyramid.tweens import EXCVIEW

from c2c_sentry._reporting import init


def includeme(config: Configurator) -> None:
    """Report errors to Sentry: ``config.include("c2c_sentry")``. Without a DSN nothing happens.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    init(config.get_settings())
    config.add_tween("c2c_sentry._tween.tween_factory", over=EXCVIEW)
