"""Patching ``requests`` and taking the patch back; nothing here needs ``requests`` to be installed, or imports it."""

import importlib.util
import sys

from c2c_broadcast import load, when_imported
from c2c_logging._outgoing import OUTGOING
from c2c_logging._settings import LoggingSettings


def instrument_requests(default_timeout: float | None = None) -> bool:
    """Have what ``requests`` sends carry the request id, a ``traceparent`` and a time-out. Twice is the same as once.

    Where the application has not imported ``requests``, that happens as soon as it does.

    Args:
        default_timeout: seconds, for what is sent without a time-out; None is what C2C_REQUESTS_DEFAULT_TIMEOUT says,
            else what an earlier call said

    Returns:
        Whether ``requests`` is installed.

    Raises:
        ConfigurationError: The variable is no number of seconds.
    """
    if default_timeout is None:
        default_timeout = load(LoggingSettings, {}).requests_default_timeout
    if default_timeout is not None:
        OUTGOING.default_timeout = default_timeout
    OUTGOING.wanted = True
    when_imported(_LIBRARY, _install)
    return _LIBRARY in sys.modules or importlib.util.find_spec(_LIBRARY) is not None


def uninstrument_requests() -> None:
    """Take the patch back; ``requests`` sends what it is told to, as before."""
    OUTGOING.default_timeout = None
    OUTGOING.wanted = False
    if _LIBRARY in sys.modules:
        from c2c_logging import _requests

        _requests.PATCH.remove()


def _install() -> None:
    if OUTGOING.wanted:
        from c2c_logging import _requests

        _requests.PATCH.install()


_LIBRARY = "requests"
