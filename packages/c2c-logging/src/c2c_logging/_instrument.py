"""Patching ``requests`` and taking the patch back; nothing here needs ``requests`` to be installed."""

import importlib.util

from c2c_logging._outgoing import OUTGOING


def instrument_requests(default_timeout: float | None = None) -> bool:
    """Have what ``requests`` sends carry the request id, a ``traceparent`` and a time-out. Twice is the same as once.

    Args:
        default_timeout: seconds, for what is sent without a time-out; None leaves what an earlier call said

    Returns:
        Whether ``requests`` is installed.
    """
    if default_timeout is not None:
        OUTGOING.default_timeout = default_timeout
    if importlib.util.find_spec("requests") is None:
        return False
    from c2c_logging import _requests

    _requests.PATCH.install()
    return True


def uninstrument_requests() -> None:
    """Take the patch back; ``requests`` sends what it is told to, as before."""
    OUTGOING.default_timeout = None
    if importlib.util.find_spec("requests") is None:
        return
    from c2c_logging import _requests

    _requests.PATCH.remove()
