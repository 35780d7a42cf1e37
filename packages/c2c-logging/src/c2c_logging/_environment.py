"""What handlers read when they are built: the environment, for there is no application yet."""

import os

from c2c_broadcast import load
from c2c_logging._settings import HandlerSettings


def handler_settings() -> HandlerSettings:
    """Return the settings of handlers.

    Raises:
        ConfigurationError: One can't be read.
    """
    return load(HandlerSettings, {}, os.environ)
