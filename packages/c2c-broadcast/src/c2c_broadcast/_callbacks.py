"""Running a callback for a broadcast: whatever it does, an answer comes out."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from c2c_broadcast._answers import Failure
from c2c_broadcast._mask import Masker
from c2c_broadcast._messages import UnsendableError, encode
from c2c_broadcast._roster import Member

_LOG = logging.getLogger(__name__)

_LONGEST_MESSAGE = 2_000
_LONGEST_READ = 1_000_000

Callback = Callable[..., Any]


def run(channel: str, callback: Callback, params: Mapping[str, Any], me: Member) -> str | Failure:
    """Call ``callback(**params)``; return its answer as JSON, or how it failed.

    A dict gets ``hostname`` and ``pid`` of this process, unless it has such keys.
    """
    try:
        answer = callback(**params)
    except BaseException as error:  # noqa: BLE001 # the boundary of a foreign function, in a thread that must live on
        _LOG.warning("The callback of the broadcast channel %r failed", channel, exc_info=True)
        return failure(me, error)
    if isinstance(answer, dict):
        answer = {"hostname": me.hostname, "pid": me.pid} | answer
    try:
        return encode(answer)
    except UnsendableError as error:
        _LOG.warning("What the callback of the broadcast channel %r returned can't be sent: %s", channel, error)
        return failure(me, error)


def failure(me: Member, error: BaseException) -> Failure:
    """Return an exception as a failed answer, without its secrets."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 # a foreign __str__ may raise anything
        text = "(its text can't be made)"
    # Masked before it is cut: half a URL would not show its password for one.
    masked = Masker.of(os.environ)(text[:_LONGEST_READ])
    return Failure(me.hostname, me.pid, type(error).__name__, masked[:_LONGEST_MESSAGE])
