"""A shared state in this process: the entries, which one wins, and who is told."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from c2c_broadcast._messages import BadMessageError
from c2c_broadcast._state_entry import Entry

_LOG = logging.getLogger(__name__)

MAX_KEYS = 1_000
# What others set meanwhile may go over the limit a little; this is for memory's sake.
_MAX_ENTRIES = 2 * MAX_KEYS
# How long an ended value is remembered, so that no process that was away brings it back.
REMEMBERED = 7 * 86_400.0

OnChange = Callable[[str, Entry | None], Any]


class StateCore:
    """Entries by key, ended ones too. Changes are told to listeners one after the other, in the order of versions.

    ``delivering`` is one lock for all states of a process, because listeners may change other states.
    """

    def __init__(self, name: str, delivering: threading.RLock, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.listeners: list[OnChange] = []
        self._clock = clock
        self._lock = threading.Lock()
        self._delivering: Any = delivering
        self._entries: dict[str, Entry] = {}
        self._in_force: dict[str, Entry] = {}
        self._latest = 0
        self._untold: deque[tuple[str, Entry | None]] = deque()

    def after_fork(self, delivering: threading.RLock) -> None:
        """Make the locks anew, in a forked child."""
        self._lock = threading.Lock()
        self._delivering = delivering

    def get(self, key: str) -> Entry | None:
        """Return the entry in force."""
        entry = self._entries.get(key)
        return entry if entry is not None and entry.active(self._clock()) else None

    def active(self) -> dict[str, Entry]:
        """Return all entries in force, by key."""
        now = self._clock()
        with self._lock:
            return {key: entry for key, entry in sorted(self._entries.items()) if entry.active(now)}

    def next_end(self) -> float | None:
        """Return when the first of the values in force ends, None if none does."""
        with self._lock:
            return min((one.expires for one in self._in_force.values() if one.expires is not None), default=None)

    def change(self, make: Callable[[int], Entry]) -> tuple[Entry, Entry | None]:
        """Put in force what ``make`` makes of the next version; return it and the entry before it.

        Raises:
            ValueError: There are 1,000 values in force already.
        """
        with self._lock:
            entry = make(self._latest + 1)
            before = self._entries.get(entry.key)
            if before is None and len(self._entries) >= MAX_KEYS:
                self._drop_oldest_ended()
            self._take(entry)
        self.tell()
        return entry, before

    def apply(self, entries: Iterable[Entry]) -> None:
        """Take entries of other processes; of two for one key, the one later in order stays."""
        with self._lock:
            for entry in sorted(entries, key=lambda one: one.order):
                known = self._entries.get(entry.key)
                if known is None and len(self._entries) >= _MAX_ENTRIES:
                    _LOG.warning("Shared state %s is full: %r of another process is dropped", self.name, entry.key)
                elif known is None or known.order < entry.order:
                    self._take(entry)
        self.tell()

    def merge(self, fields: list[bytes]) -> tuple[dict[str, str], list[str], list[Entry]]:
        """Take what Redis holds: names and entries in turn.

        Returns:
            What Redis lacks (by field), which fields it should drop, and the entries that it lacks.
        """
        held: dict[str, Entry] = {}
        useless: list[str] = []
        for name, data in zip(fields[::2], fields[1::2], strict=True):
            try:
                entry = Entry.parse(data)
                held[name.decode()] = entry
            except (BadMessageError, UnicodeDecodeError) as error:
                _LOG.warning("Shared state %s: a field in Redis is dropped: %s", self.name, error)
                useless.append(name.decode(errors="replace"))
        self.apply(held.values())
        self._forget()
        with self._lock:
            current = {entry.field: entry for entry in self._entries.values()}
        lacking = {field: entry for field, entry in current.items() if field not in held}
        useless += [field for field in held if field not in current]
        return {field: entry.dump() for field, entry in lacking.items()}, useless, list(lacking.values())

    def tell(self) -> None:
        """Tell the listeners what has changed, the end of values too."""
        self._end()
        with self._delivering:
            while self._untold:
                key, entry = self._untold.popleft()
                for listener in list(self.listeners):
                    self._call(listener, key, entry)

    def introduce(self, listener: OnChange) -> None:
        """Add a listener; tell it what is in force."""
        with self._delivering:
            self.listeners.append(listener)
            for key, entry in self.active().items():
                self._call(listener, key, entry)

    def _call(self, listener: OnChange, key: str, entry: Entry | None) -> None:
        try:
            listener(key, entry)
        except Exception:  # noqa: BLE001 # a foreign function: the others must hear of the change nevertheless
            _LOG.warning("Shared state %s: a listener failed at the change of %r", self.name, key, exc_info=True)

    def _take(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        self._latest = max(self._latest, entry.version)
        if entry.active(self._clock()):
            self._in_force[entry.key] = entry
            self._untold.append((entry.key, entry))
        elif self._in_force.pop(entry.key, None) is not None:
            self._untold.append((entry.key, None))

    def _end(self) -> None:
        now = self._clock()
        with self._lock:
            for key in [key for key, entry in self._in_force.items() if not entry.active(now)]:
                del self._in_force[key]
                self._untold.append((key, None))

    def _forget(self) -> None:
        now = self._clock()
        with self._lock:
            for key, entry in list(self._entries.items()):
                ended = entry.ended(now)
                if ended is not None and now - ended > REMEMBERED:
                    del self._entries[key]

    def _drop_oldest_ended(self) -> None:
        now = self._clock()
        ended = [(end, key) for key, entry in self._entries.items() if (end := entry.ended(now)) is not None]
        if not ended:
            raise ValueError(f"shared state {self.name!r} holds {MAX_KEYS:,} values already: reset some")
        del self._entries[min(ended)[1]]
