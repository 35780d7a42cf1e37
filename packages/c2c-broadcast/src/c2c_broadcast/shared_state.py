"""Small values that every process of a service agrees on, such as log levels set by hand, or a read-only mode."""

import time
from collections.abc import Callable
from typing import Any

from c2c_broadcast._broadcaster import Broadcaster
from c2c_broadcast._errors import BroadcastError
from c2c_broadcast._state_core import OnChange
from c2c_broadcast._state_entry import Entry, checked_key, checked_ttl, checked_value, words
from c2c_broadcast.broadcast import get_broadcaster

__all__ = ["Entry", "SharedState"]

_MAX_NAME = 100


class SharedState:
    """Values by key that every process agrees on, those born later too.

    A change is in force in this process when ``set`` or ``reset`` returns, and in the others a moment later. With
    Redis away, or none configured, it is of this process only; once Redis is back everybody agrees again, on the later
    of two changes. ``on_change(key, entry)`` is called in each process for each change, with None when the value ended;
    it is told of what is in force already, and what it raises is logged.

    Args:
        name: the same in all processes; two objects of one name in one process share their values
        on_change: what to call
        broadcaster: the process's by default
        clock: gives seconds since the epoch

    Raises:
        BroadcastError: The name is no short text.
    """

    def __init__(
        self,
        name: str,
        on_change: OnChange | None = None,
        *,
        broadcaster: Broadcaster | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
            raise BroadcastError(f"a shared state's name is 1 to {_MAX_NAME} printable characters, not {name!r:.120}")
        self.name = name
        self._clock = clock
        self._on_change = on_change
        self._states = (broadcaster or get_broadcaster()).states
        self._core = self._states.get(name, clock)
        if on_change is not None:
            self._core.introduce(on_change)

    def set(
        self, key: str, value: Any, ttl: float | None = None, who: str | None = None, reason: str | None = None
    ) -> Entry:
        """Set a value, which JSON can hold, for ``ttl`` seconds or without end; ``who`` and ``reason`` are for people.

        Raises:
            ValueError: Key, value or ttl are out of bounds (200 characters, 64 KiB as JSON, 1,000 keys, ten years).
        """
        key, value, ttl = checked_key(key), checked_value(value), checked_ttl(ttl)
        now = self._clock()
        expires = None if ttl is None else now + ttl
        return self._states.change(
            self._core,
            lambda version, origin: Entry(key, value, version, origin, now, expires, words(who), words(reason)),
        )

    def reset(self, key: str, who: str | None = None, reason: str | None = None) -> Entry:
        """End a value, whether there is one or not.

        Raises:
            ValueError: The key is out of bounds.
        """
        key, now = checked_key(key), self._clock()
        return self._states.change(
            self._core,
            lambda version, origin: Entry(
                key, None, version, origin, now, who=words(who), reason=words(reason), reset=True
            ),
        )

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value in force, ``default`` if there is none. Costs no more than looking in a dict."""
        entry = self._core.get(key)
        return default if entry is None else entry.value

    def entries(self) -> dict[str, Entry]:
        """Return all that is in force: value, version, origin, expiry, who and why, by key."""
        return self._core.active()

    @property
    def everywhere(self) -> bool:
        """Tell whether a change reaches every process now: false while Redis is configured and can't be used."""
        return self._states.reach_all()

    def close(self) -> None:
        """Have ``on_change`` called no more."""
        if self._on_change in self._core.listeners:
            self._core.listeners.remove(self._on_change)
