"""Small values that every process of a service agrees on, such as log levels set by hand, or a read-only mode.

A change goes to three places: a file in the private folder of the processes on this host, from which those born later
know it at once; Redis, where one is configured, for other hosts; and all members, by a broadcast that they acknowledge.
"""

import contextlib
import fcntl
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from c2c_broadcast._call import BadMessageError, BroadcastError, UnsendableError, decode, encode
from c2c_broadcast._host import state_folder
from c2c_broadcast.broadcast import Broadcaster, get_broadcaster
from c2c_broadcast.process import Worker, at_fork, family

__all__ = ["Entry", "SharedState"]

_LOG = logging.getLogger(__name__)

MAX_KEYS = 1_000
MAX_VALUE = 64 * 1024
MAX_KEY = 200
# What others set meanwhile may go over the limit a little; this is for memory's sake.
_MAX_ENTRIES = 2 * MAX_KEYS
# How long an ended value is remembered, so that no process that was away brings it back.
REMEMBERED = 7 * 86_400.0
_MAX_NAME = 100
_MAX_WORDS = 500
_LONGEST_TTL = 10 * 366 * 86_400.0
# Versions are microseconds since the epoch, or one more than the last; clocks may differ so much (seconds).
_SKEW = 3600.0
_PATIENCE = 1.0  # seconds that the first look at a required state waits for the store
_LOCKING = 0.5
_RETRY = 2.0
_LONGEST_SLEEP = 10.0  # clocks are set and machines sleep: look again this often

OnChange = Callable[[str, "Entry | None"], Any]
Check = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as some process set it.

    Of two for one key the one with the greater ``version`` is in force, and of two of one version that of the greater
    ``origin``, the member that set it. ``expires`` and ``changed`` are seconds since the epoch; ``expires`` is None for
    a value without end. ``reset`` marks the end of a value by hand: it is kept, so that nobody who missed it brings the
    value back. ``everywhere`` is what ``set`` and ``reset`` know of the change when they return: true when every member
    has acknowledged it and it is stored; None of an entry that came another way.
    """

    key: str
    value: Any
    version: int
    origin: str
    changed: float
    expires: float | None = None
    who: str | None = None
    reason: str | None = None
    reset: bool = False
    everywhere: bool | None = None

    @property
    def order(self) -> tuple[int, str]:
        """What decides between two entries of one key: the greater one is in force."""
        return self.version, self.origin

    def ended(self, now: float) -> float | None:
        """Return when the value ended, None while it is in force."""
        if self.reset:
            return self.changed
        return self.expires if self.expires is not None and self.expires <= now else None

    def dump(self) -> str:
        """Return the entry as JSON."""
        return encode(self.fields())

    def fields(self) -> dict[str, Any]:
        """Return what others are told of it."""
        fields = asdict(self)
        del fields["everywhere"]
        return fields

    @classmethod
    def parse(cls, data: bytes | str | dict[str, Any]) -> "Entry":
        """Return the entry that ``dump`` wrote.

        Raises:
            BadMessageError: It is none.
        """
        fields = data if isinstance(data, dict) else decode(data)
        try:
            entry = cls(**fields)
        except TypeError:
            raise BadMessageError("it is no entry of a shared state") from None
        numbers = (entry.changed, 0.0 if entry.expires is None else entry.expires)
        texts = (entry.who or "", entry.reason or "", entry.origin)
        if (
            not (isinstance(entry.key, str) and 0 < len(entry.key) <= MAX_KEY)
            or not (type(entry.version) is int and entry.version > 0)
            or not all(type(number) in {int, float} and math.isfinite(number) for number in numbers)
            or not all(isinstance(text, str) for text in texts)
            or not isinstance(entry.reset, bool)
            or entry.everywhere is not None
        ):
            raise BadMessageError("an entry of a shared state has a field of the wrong kind")
        return entry


class _Values:
    """One state in this process. Its entries, ended ones too, are touched under the lock of all states only."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.clock = clock
        self.listeners: list[OnChange] = []
        self.checks: list[Check] = []
        self.entries: dict[str, Entry] = {}
        self.dumps: dict[bytes, bytes] = {}
        self.in_force: dict[str, Entry] = {}
        self.filed = b""  # the file of this host, as it was last read or written
        self.unconfirmed: dict[str, Entry] = {}  # changes of this process that not all have acknowledged
        self.required = False
        self.loaded = False  # whether this process has looked at what others know
        self.known = False  # whether it could

    @property
    def channel(self) -> str:
        return f"c2c_state_{self.name}"

    def check(self, entry: Entry) -> None:
        """Raise ``BadMessageError`` where an entry is not to be taken from anybody."""
        if entry.version > (self.clock() + _SKEW) * 1e6:
            raise BadMessageError(f"the version of {entry.key!r} is of the future: {entry.version}")
        if entry.key not in self.entries and len(self.entries) >= _MAX_ENTRIES:
            raise BadMessageError(f"there is no room for {entry.key!r}")
        for check in self.checks:
            try:
                good = entry.reset or check(entry.key, entry.value) is not False
            except Exception as error:  # noqa: BLE001 # a foreign function, about a value that anybody may have stored
                raise BadMessageError(f"the value of {entry.key!r} is refused: {error!r:.200}") from None
            if not good:
                raise BadMessageError(f"the value of {entry.key!r} is refused")

    def take(self, entry: Entry) -> bool:
        """Put an entry in force, or at an end; tell whether that changes anything that listeners see."""
        self.entries[entry.key] = entry
        self.dumps[entry.key.encode()] = entry.dump().encode()
        if entry.ended(self.clock()) is None:
            self.in_force[entry.key] = entry
            return True
        return self.in_force.pop(entry.key, None) is not None

    def drop(self, key: str) -> None:
        del self.entries[key], self.dumps[key.encode()]

    def make_room(self) -> None:
        """Drop what ended first where there are too many."""
        if len(self.entries) < MAX_KEYS:
            return
        now = self.clock()
        ended = [(end, key) for key, entry in self.entries.items() if (end := entry.ended(now)) is not None]
        if not ended:
            raise ValueError(f"shared state {self.name!r} holds {MAX_KEYS:,} values already: reset some")
        self.drop(min(ended)[1])


class States:
    """All shared states of one broadcaster: a ``Keeper``."""

    def __init__(self, broadcaster: Broadcaster) -> None:
        self._broadcaster = broadcaster
        self._values: dict[str, _Values] = {}
        self._untold: deque[tuple[_Values, str, Entry | None]] = deque()
        self._worker = Worker("c2c-broadcast-states", self._due)
        self.unsaved: dict[str, str] = {}
        self._unfiled: set[str] = set()
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin anew, in the child: what others know is looked at again."""
        self._lock = threading.Lock()
        self._telling = False
        for values in self._values.values():
            values.loaded = values.known = False
            values.filed = b""

    @classmethod
    def of(cls, broadcaster: Broadcaster) -> "States":
        """Return the states of a broadcaster."""
        if not isinstance(broadcaster.keeper, States):
            broadcaster.keeper = cls(broadcaster)
        assert isinstance(broadcaster.keeper, States)
        return broadcaster.keeper

    def get(self, name: str, clock: Callable[[], float]) -> _Values:
        """Return the state of this name."""
        values = self._values.setdefault(name, _Values(name, clock))
        self._broadcaster.subscribe(values.channel, _Receiver(self, values))
        return values

    def names(self) -> list[str]:
        """Return the names of all states."""
        return list(self._values)

    # -- in this process --

    def active(self, values: _Values) -> dict[str, Entry]:
        """Return all entries in force, by key."""
        now = values.clock()
        with self._lock:
            return {key: entry for key, entry in sorted(values.entries.items()) if entry.ended(now) is None}

    def introduce(self, values: _Values, listener: OnChange) -> None:
        """Add a listener; tell it what is in force."""
        values.listeners.append(listener)
        for key, entry in self.active(values).items():
            _call(values, listener, key, entry)

    def apply(self, values: _Values, entries: Iterable[Entry]) -> list[str]:
        """Take entries of other processes; of two for one key the later one stays. Return the keys that are refused."""
        refused: dict[str, str] = {}
        taken = []
        for entry in sorted(entries, key=lambda one: one.order):
            try:
                values.check(entry)
                taken.append(entry)
            except BadMessageError as error:
                refused[entry.key] = str(error)
        with self._lock:
            for entry in taken:
                known = values.entries.get(entry.key)
                if (known is None or known.order < entry.order) and values.take(entry):
                    self._untold.append((values, entry.key, values.in_force.get(entry.key)))
        for reason in refused.values():
            self._broadcaster.complain(f"Shared state {values.name}: an entry is dropped: {reason}")
        self.tell()
        self._arm()
        return list(refused)

    def tell(self) -> None:
        """Tell the listeners what has changed, the end of values too: one after the other, in order, without a lock."""
        with self._lock:
            for values in self._values.values():
                now = values.clock()
                for key in [key for key, entry in values.in_force.items() if entry.ended(now) is not None]:
                    del values.in_force[key]
                    self._untold.append((values, key, None))
        while True:
            with self._lock:
                if self._telling or not self._untold:
                    return  # who is telling goes on with what has come meanwhile
                self._telling = True
                values, key, entry = self._untold.popleft()
            try:
                for listener in list(values.listeners):
                    _call(values, listener, key, entry)
            finally:
                with self._lock:
                    self._telling = False

    def _due(self) -> float | None:
        """End what has ended, and try again to write what could not be written; return when to come again."""
        self.tell()
        for name in list(self._unfiled):
            self._file(self._values[name])
        with self._lock:
            values = list(self._values.values())
            ends = [entry.expires - one.clock() for one in values for entry in one.in_force.values() if entry.expires]
        waits = [max(0.0, min(ends))] if ends else []
        waits += [_RETRY] if self._unfiled else []
        return min(*waits, _LONGEST_SLEEP) if waits else None

    def _arm(self) -> None:
        if self._broadcaster.started and (
            self._unfiled
            or any(entry.expires for one in self._values.values() for entry in one.in_force.copy().values())
        ):
            self._worker.wake()

    # -- changes --

    def change(self, values: _Values, change: Entry, timeout: float) -> Entry:
        """Make a change here, in the stores and in the other processes; return what is known of it."""
        self.load(values)
        origin = self._broadcaster.running().me.id
        with self._lock:
            latest = max((entry.version for entry in values.entries.values()), default=0)
            entry = replace(change, version=max(latest + 1, int(values.clock() * 1e6)), origin=origin)
            if entry.key not in values.entries:
                values.make_room()
            if values.take(entry):
                self._untold.append((values, entry.key, values.in_force.get(entry.key)))
        self.tell()
        self._arm()
        # First stored, then told: a process that is born meanwhile learns it one way or the other.
        saved = self._file(values) and self._store(values, {entry.key: entry.dump()}, [])
        try:
            told = self._tell_others(values, [entry], timeout)
        except BroadcastError as error:
            told = False
            _LOG.warning("Shared state %s: the others are not told: %s", values.name, error)
        if told:
            values.unconfirmed.pop(entry.key, None)
        else:
            values.unconfirmed[entry.key] = entry
        return replace(entry, everywhere=saved and told)

    def _tell_others(self, values: _Values, entries: list[Entry], timeout: float) -> bool:
        """Tell the other members; true when all of them know it. Who has not begun to listen reads it when it does."""
        params = {"entries": [entry.fields() for entry in entries]}
        call = self._broadcaster.call(values.channel, params, timeout, own=False)
        call.unasked.clear()
        answers = call.result()
        return answers.complete and not answers.failed

    def receive(self, values: _Values, entries: list[dict[str, Any]]) -> bool:
        """Take what another process sent."""
        taken = []
        for fields in entries:
            try:
                taken.append(Entry.parse(fields))
            except BadMessageError as error:
                self._broadcaster.complain(f"Shared state {values.name}: what another process sent is dropped: {error}")
        refused = self.apply(values, taken)
        self._file(values)
        return len(taken) == len(entries) and not refused

    def reach_all(self, values: _Values) -> bool:
        """Tell whether a change reaches every process now, and all changes are stored."""
        self._broadcaster.running()
        entries = values.unconfirmed.copy()
        if entries:
            with contextlib.suppress(BroadcastError):
                if self._tell_others(values, list(entries.values()), _PATIENCE):
                    values.unconfirmed.clear()
        health = self._broadcaster.health()
        # Still connecting for the first time is no error: what is set now is stored and told with the connection.
        return not values.unconfirmed and values.name not in self.unsaved and (health.connected or not health.error)

    # -- the store, as a Keeper --

    def begin(self) -> None:
        """Take what changed before this process listened, and end what ended while nobody watched."""
        for values in list(self._values.values()):
            self._read(values)
        self.tell()
        self._arm()

    def differs(self, name: str, stored: Mapping[bytes, bytes]) -> bool:
        """Tell whether the store has something else than this process."""
        values = self._values[name]
        if stored != values.dumps or not values.known:
            return True
        if name not in self._unfiled:
            self.unsaved.pop(name, None)
        return False

    def merge(self, name: str, stored: Mapping[bytes, bytes]) -> None:
        """Agree with what the store has, both ways: FLUSHALL, an eviction or an old backup are put right by this."""
        values, held, useless = self._values[name], {}, []
        for field, data in stored.items():
            try:
                entry = Entry.parse(data)
                held[entry.key] = entry
                if entry.key.encode() != field:
                    useless.append(field)
            except BadMessageError as error:
                self._broadcaster.complain(f"Shared state {name}: a field in Redis is dropped: {error}")
                useless.append(field)
        useless += [key.encode() for key in self.apply(values, held.values())]
        with self._lock:
            now = values.clock()
            for key, entry in list(values.entries.items()):
                ended = entry.ended(now)
                if ended is not None and now - ended > REMEMBERED:
                    values.drop(key)
                    useless.append(key.encode())
            lacking = [
                entry for key, entry in values.entries.items() if stored.get(key.encode()) != values.dumps[key.encode()]
            ]
            useless = [field for field in useless if field in stored and field not in values.dumps]
        values.known = values.loaded = True
        self._file(values)
        saved = True
        if lacking or useless:
            saved = self._store(values, {entry.key: entry.dump() for entry in lacking}, useless)
            with contextlib.suppress(BroadcastError):
                self._tell_others(values, lacking, 0)
        if saved and name not in self._unfiled:
            self.unsaved.pop(name, None)

    def _store(self, values: _Values, fields: Mapping[str, str], useless: list[bytes]) -> bool:
        redis = self._broadcaster.running().redis
        if redis is None:
            return True
        reason = redis.save(values.name, fields, useless)
        if reason is None:
            return True
        self.unsaved[values.name] = reason
        return False

    # -- what a process that begins knows --

    def load(self, values: _Values) -> None:
        """Look, once in this process, at what others know; where the state is required, in Redis too."""
        if values.loaded:
            return
        known, asks = self._read(values), values.required and self._broadcaster.uses_redis
        if asks:
            found = threading.Event()
            self._broadcaster.run(f"load {values.name}", lambda: self._load(values, found))
            known = found.wait(_PATIENCE) or known
        if known:
            self._file(values)
        if not asks or known:
            values.known = True
        else:
            self._broadcaster.complain(
                f"Shared state {values.name}: neither Redis nor another process can say what is in force. "
                "Until one does, the safe side holds."
            )
        values.loaded = True

    def _load(self, values: _Values, found: threading.Event) -> None:
        stored = self._broadcaster.load(values.name)
        if stored is None:
            return
        entries = []
        for data in stored.values():
            with contextlib.suppress(BadMessageError):  # said and put right by the merge
                entries.append(Entry.parse(data))
        self.apply(values, entries)
        found.set()

    def _path(self, values: _Values) -> Path:
        return state_folder(self._broadcaster.settings.broadcast_prefix) / f"state-{values.name.encode().hex()}"

    def _read(self, values: _Values) -> bool:
        """Take what is in the file of this host; tell whether there is one."""
        try:
            path = self._path(values)
            if not path.exists() and (starter := family().starter) is not None:
                # Not yet: a master that gunicorn's USR2 started begins with what the one before it knows.
                before = (
                    path.parent.parent.parent / f"{family().namespace}-{starter.name}" / path.parent.name / path.name
                )
                path = before if before.exists() else path
            data = path.read_bytes()
            if data != values.filed:
                self.apply(values, [Entry.parse(fields) for fields in decode(data)])
                values.filed = data
        except (OSError, BadMessageError, TypeError):
            return False
        return True

    def _file(self, values: _Values) -> bool:
        """Write the file of this host: what it has and what this process has; tell whether that was possible."""
        try:
            path = self._path(values)
            with _locked(path.with_suffix(".lock")):
                there = self._read(values) and path.exists()
                with self._lock:
                    data = b"[" + b",".join(values.dumps.values()) + b"]"
                if not there or data != values.filed:
                    new = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
                    new.write_bytes(data)
                    new.replace(path)
                    values.filed = data
        except OSError as error:
            self.unsaved[values.name] = f"the file of this host: {error}"
            self._unfiled.add(values.name)
            self._arm()
            return False
        if values.name in self._unfiled:
            self._unfiled.discard(values.name)
            self.unsaved.pop(values.name, None)
        return True


class _Receiver:
    """The callback of a state's channel."""

    def __init__(self, states: States, values: _Values) -> None:
        self._states = states
        self._values = values

    def __call__(self, entries: list[dict[str, Any]]) -> bool:
        return self._states.receive(self._values, entries)


@contextlib.contextmanager
def _locked(path: Path) -> Any:
    """Hold a lock between processes; one that is stopped while it holds it makes the others fail, not wait."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        end = time.monotonic() + _LOCKING
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.005)
        yield
    finally:
        os.close(fd)


def _call(values: _Values, listener: OnChange, key: str, entry: Entry | None) -> None:
    try:
        listener(key, entry)
    except Exception:  # noqa: BLE001 # a foreign function: the others must hear of the change nevertheless
        _LOG.warning("Shared state %s: a listener failed at the change of %r", values.name, key, exc_info=True)


class SharedState:
    """Values by key that every process agrees on, those born later too.

    A change is in force in this process when ``set`` or ``reset`` returns, and the entry that they return says whether
    it is everywhere. ``on_change(key, entry)`` is called in each process for each change, with None when the value
    ended; it is told of what is in force already, and what it raises is logged.

    Args:
        name: the same in all processes; two objects of one name in one process share their values
        on_change: what to call
        required: the first ``get`` of a process waits up to a second for Redis, where one is configured; while neither
            Redis nor a process of this host can say what is in force, ``safe`` is
        safe: values by key, for a required state
        check: ``check(key, value)`` returns false or raises where a value is none; such a value can't be set, and is
            dropped wherever it comes from
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
        required: bool = False,
        safe: Mapping[str, Any] | None = None,
        check: Check | None = None,
        broadcaster: Broadcaster | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
            raise BroadcastError(f"a shared state's name is 1 to {_MAX_NAME} printable characters, not {name!r:.120}")
        self.name = name
        self._on_change = on_change
        self._safe = dict(safe or {})
        self._check = check
        self._states = States.of(broadcaster or get_broadcaster())
        self._values = self._states.get(name, clock)
        self._values.required |= required
        if check is not None:
            self._values.checks.append(check)
        if on_change is not None:
            self._states.introduce(self._values, on_change)

    def set(
        self,
        key: str,
        value: Any,
        ttl: float | None = None,
        who: str | None = None,
        reason: str | None = None,
        timeout: float = 2.0,
    ) -> Entry:
        """Set a value, which JSON can hold, for ``ttl`` seconds or without end; ``who`` and ``reason`` are for people.

        Waits at most ``timeout`` seconds for the others to acknowledge it: ``everywhere`` of the entry says the truth.

        Raises:
            ValueError: Key, value or ttl are out of bounds (200 characters, 64 KiB as JSON, 1,000 keys, ten years), or
                ``check`` refuses the value.
        """
        key, value, ttl = _checked_key(key), _checked_value(value), _checked_ttl(ttl)
        now = self._values.clock()
        expires = None if ttl is None else now + ttl

        change = Entry(key, value, 1, "", now, expires, _words(who), _words(reason))
        try:
            self._values.check(change)
        except BadMessageError as error:
            raise ValueError(f"shared state {self.name!r}: {error}") from None
        return self._states.change(self._values, change, timeout)

    def reset(self, key: str, who: str | None = None, reason: str | None = None, timeout: float = 2.0) -> Entry:
        """End a value, whether there is one or not.

        Raises:
            ValueError: The key is out of bounds.
        """
        key, now = _checked_key(key), self._values.clock()
        change = Entry(key, None, 1, "", now, who=_words(who), reason=_words(reason), reset=True)
        return self._states.change(self._values, change, timeout)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value in force, ``default`` if there is none. Costs no more than looking in a dict."""
        values = self._values
        if not values.loaded:
            self._states.load(values)
        entry = values.entries.get(key)
        if entry is not None and entry.ended(values.clock()) is None:
            return entry.value
        return default if values.known or entry is not None else self._safe.get(key, default)

    def entries(self) -> dict[str, Entry]:
        """Return all that is in force: value, version, origin, expiry, who and why, by key."""
        if not self._values.loaded:
            self._states.load(self._values)
        return self._states.active(self._values)

    @property
    def everywhere(self) -> bool:
        """Tell whether all changes of this process are everywhere; those that somebody missed are told once more."""
        return self._states.reach_all(self._values)

    def close(self) -> None:
        """Have ``on_change`` called no more."""
        if self._on_change in self._values.listeners:
            self._values.listeners.remove(self._on_change)
        if self._check in self._values.checks:
            self._values.checks.remove(self._check)


def _checked_key(key: str) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY:
        raise ValueError(f"a key of a shared state is a text of 1 to {MAX_KEY} characters, not {key!r:.220}")
    return key


def _checked_value(value: Any) -> Any:
    """Return ``value`` as JSON gives it back."""
    try:
        text = encode(value)
    except UnsendableError as error:
        raise ValueError(f"a value of a shared state: {error}") from None
    if len(text) > MAX_VALUE:
        raise ValueError(f"a value of a shared state has at most {MAX_VALUE:,} bytes as JSON, not {len(text):,}")
    return decode(text)


def _checked_ttl(ttl: float | None) -> float | None:
    if ttl is None:
        return None
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not math.isfinite(ttl) or ttl <= 0:
        raise ValueError(f"a ttl is a number of seconds greater than 0, or None, not {ttl!r:.50}")
    if ttl > _LONGEST_TTL:
        raise ValueError(f"a ttl is at most ten years, not {ttl!r:.50} seconds; None is without end")
    return float(ttl)


def _words(text: str | None) -> str | None:
    """Return who or why, cut to a length that fits every log and page."""
    return None if text is None else str(text)[:_MAX_WORDS]
