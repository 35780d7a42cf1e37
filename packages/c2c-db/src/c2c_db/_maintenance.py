"""Maintenance mode: everyone reads from the replica side, in every process, and nobody writes."""

import logging
import math
import time
from typing import Any

from c2c_broadcast.shared_state import Entry, SharedState

_LOG = logging.getLogger(__name__)
_KEY = "readonly"
_RETRY_AFTER = 60


class Maintenance:
    """The mode as all processes agree on it: kept where SharedState keeps it, so it survives restarts."""

    def __init__(self) -> None:
        self._state = SharedState("c2c_db.maintenance", _changed)

    @property
    def readonly(self) -> bool | None:
        """Whether the mode is on; None where nobody has said."""
        value = self._state.get(_KEY)
        return value if isinstance(value, bool) else None

    @property
    def entry(self) -> Entry | None:
        """Who switched it, when, why, and until when."""
        return self._state.entries().get(_KEY)

    def switch(self, *, readonly: bool, ttl: float | None = None, reason: str | None = None, who: Any = None) -> None:
        """Switch it in every process; after ``ttl`` seconds it ends by itself.

        Raises:
            ValueError: ``ttl`` is out of bounds.
        """
        self._state.set(_KEY, readonly, ttl=ttl, reason=reason, who=who)

    @property
    def everywhere(self) -> bool:
        """Tell whether a switch reaches every process now: not while Redis is away."""
        return self._state.everywhere

    def retry_after(self) -> int:
        """Return in how many seconds a write may be tried again: when the mode ends, else in a minute."""
        entry = self.entry
        if entry is None or entry.expires is None:
            return _RETRY_AFTER
        return max(1, math.ceil(entry.expires - time.time()))

    def close(self) -> None:
        """Stop to follow it."""
        self._state.close()


def _changed(_key: str, entry: Entry | None) -> None:
    if entry is None:
        _LOG.warning("Database maintenance mode ended")
    else:
        why = f": {entry.reason}" if entry.reason else ""
        _LOG.warning("Database maintenance mode is %s%s", "on: read-only" if entry.value else "off", why)
