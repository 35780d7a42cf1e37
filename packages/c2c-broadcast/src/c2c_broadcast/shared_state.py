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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from c2c_broadcast._call import BadMessageError, BroadcastError, decode, encode
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
        try:
            entry = cls(**(data if isinstance(data, dict) else decode(data)))
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


class Kept:
    """One state as this process keeps it, for all ``SharedState`` of its name.

    What is in ``entries``, ended ones too, is touched under the lock only; nothing foreign is called under it.
    """

    def __init__(self, name: str, broadcaster: Broadcaster, clock: Callable[[], float]) -> None:
        self.name = name
        self.clock = clock
        self.listeners: list[OnChange] = []
        self.checks: list[Check] = []
        self.entries: dict[str, Entry] = {}
        self.required = False
        self._broadcaster = broadcaster
        self._dumps: dict[bytes, bytes] = {}
        self._in_force: dict[str, Entry | None] = {}  # as listeners are told
        self._untold: deque[tuple[str, Entry | None]] = deque()
        self._unconfirmed: dict[str, Entry] = {}  # changes of this process that not all have acknowledged
        self._unfiled: str | None = None
        self._unstored: str | None = None
        self._worker = Worker("c2c-broadcast-states", self._due)
        self._channel = f"c2c_state_{name}"
        self.after_fork()
        at_fork(self)
        broadcaster.subscribe(self._channel, self.receive)

    def after_fork(self) -> None:
        """Begin anew, in the child: what others know is looked at again."""
        self._lock = threading.Lock()
        self._telling = False
        self._filed = b""  # the file of this host, as it was last read or written
        self.loaded = False  # whether this process has looked at what others know
        self.known = False  # whether it could

    @property
    def unsaved(self) -> str | None:
        """Why what this process knows is not stored as a whole."""
        return self._unfiled or self._unstored

    # -- in this process --

    def active(self) -> dict[str, Entry]:
        """Return all entries in force, by key."""
        now = self.clock()
        with self._lock:
            return {key: entry for key, entry in sorted(self.entries.items()) if entry.ended(now) is None}

    def check(self, entry: Entry) -> None:
        """Raise ``BadMessageError`` where an entry is not to be taken from anybody."""
        if entry.version > (self.clock() + _SKEW) * 1e6:
            raise BadMessageError(f"the version of {entry.key!r} is of the future: {entry.version}")
        for check in self.checks:
            try:
                good = entry.reset or check(entry.key, entry.value) is not False
            except Exception as error:  # noqa: BLE001 # a foreign function, about a value that anybody may have stored
                raise BadMessageError(f"the value of {entry.key!r} is refused: {error!r:.200}") from None
            if not good:
                raise BadMessageError(f"the value of {entry.key!r} is refused")

    def apply(self, entries: Iterable[Entry | bytes | dict[str, Any]]) -> bool:
        """Take what other processes set; of two for one key the later one stays. Tell whether all of it is good."""
        taken, bad = [], []
        for data in entries:
            try:
                entry = data if isinstance(data, Entry) else Entry.parse(data)
                self.check(entry)
                taken.append(entry)
            except BadMessageError as error:
                bad.append(str(error))
        with self._lock:
            for entry in sorted(taken, key=lambda one: one.order):
                known = self.entries.get(entry.key)
                if known is None and len(self.entries) >= _MAX_ENTRIES:
                    bad.append(f"there is no room for {entry.key!r}")
                elif known is None or known.order < entry.order:
                    self._take(entry)
        for reason in bad:
            self._broadcaster.complain(f"Shared state {self.name}: what another process set is dropped: {reason}")
        self.tell()
        return not bad

    def _take(self, entry: Entry) -> None:
        self.entries[entry.key] = entry
        self._dumps[entry.key.encode()] = entry.dump().encode()
        self._note(entry)

    def _drop(self, key: str) -> None:
        del self._dumps[key.encode()]
        self._note(self.entries.pop(key))
        self._in_force.pop(key, None)

    def _note(self, entry: Entry) -> None:
        """Put what changes for listeners where ``tell`` finds it."""
        active = entry if entry.ended(self.clock()) is None else None
        if self._in_force.get(entry.key) is not active:
            self._in_force[entry.key] = active
            self._untold.append((entry.key, active))

    def tell(self) -> None:
        """Tell the listeners what has changed, the end of values too: one after the other, in order, without a lock."""
        with self._lock:
            for entry in self.entries.values():
                self._note(entry)
            ends = any(entry.expires for entry in self._in_force.values() if entry is not None)
        if ends:
            self._arm()
        while True:
            with self._lock:
                if self._telling or not self._untold:
                    return  # who is telling goes on with what has come meanwhile
                self._telling = True
                key, changed = self._untold.popleft()
            try:
                for listener in list(self.listeners):
                    self._call(listener, key, changed)
            finally:
                with self._lock:
                    self._telling = False

    def _arm(self) -> None:
        if self._broadcaster.started and not self._worker.is_own_thread:
            self._worker.wake()

    def introduce(self, listener: OnChange) -> None:
        """Add a listener; tell it what is in force."""
        self.listeners.append(listener)
        for key, entry in self.active().items():
            self._call(listener, key, entry)

    def _call(self, listener: OnChange, key: str, entry: Entry | None) -> None:
        try:
            listener(key, entry)
        except Exception:  # noqa: BLE001 # a foreign function: the others must hear of the change nevertheless
            _LOG.warning("Shared state %s: a listener failed at the change of %r", self.name, key, exc_info=True)

    def _due(self) -> float | None:
        """End what has ended, and try again to write the file; return when to come again."""
        if self._unfiled:
            self._file()
        self.tell()
        now = self.clock()
        waits = [one.expires - now for one in self.active().values() if one.expires]
        waits += [_RETRY] if self._unfiled else []
        return min(max(0.0, min(waits)), _LONGEST_SLEEP) if waits else None

    # -- changes --

    def change(self, change: Entry, timeout: float) -> Entry:
        """Make a change here, in the stores and in the other processes; return what is known of it."""
        self.load()
        origin = self._broadcaster.start().me.id
        with self._lock:
            now = self.clock()
            latest = max((entry.version for entry in self.entries.values()), default=0)
            entry = replace(change, version=max(latest + 1, int(now * 1e6)), origin=origin)
            if entry.key not in self.entries and len(self.entries) >= MAX_KEYS:
                ended = [(end, key) for key, one in self.entries.items() if (end := one.ended(now)) is not None]
                if not ended:
                    raise ValueError(f"shared state {self.name!r} holds {MAX_KEYS:,} values already: reset some")
                self._drop(min(ended)[1])
            self._take(entry)
        self.tell()
        # First stored, then told: a process that is born meanwhile learns it one way or the other.
        self._file()
        self._store({entry.key: entry.dump()}, [])
        saved = self.unsaved is None
        told = self._tell_others([entry], timeout)
        self._unconfirmed.pop(entry.key, None)
        self._unconfirmed |= {} if told else {entry.key: entry}
        return replace(entry, everywhere=saved and told)

    def _tell_others(self, entries: Iterable[Entry], timeout: float) -> bool:
        """Tell the other members; true when all of them know it. Who has not begun to listen reads it when it does."""
        params = {"entries": [entry.fields() for entry in entries]}
        try:
            call = self._broadcaster.call(self._channel, params, timeout, own=False)
        except (BroadcastError, OSError) as error:  # OSError: no descriptor is free
            self._broadcaster.complain(f"Shared state {self.name}: the others are not told: {error}")
            return False
        call.unasked.clear()
        answers = call.result()
        return answers.complete and not answers.failed and all(answers.answers)

    def receive(self, entries: list[dict[str, Any]]) -> bool:
        """Take what another process sent: the callback of the channel."""
        good = self.apply(entries)
        self._file()
        return good

    def reach_all(self) -> bool:
        """Tell whether a change reaches every process now, and all changes are stored."""
        self._broadcaster.start()
        if (entries := self._unconfirmed.copy()) and self._tell_others(entries.values(), _PATIENCE):
            self._unconfirmed.clear()
        health = self._broadcaster.health()
        # Still connecting for the first time is no error: what is set now is stored and told with the connection.
        return not self._unconfirmed and self.unsaved is None and (health.connected or not health.error)

    # -- Redis --

    def differs(self, stored: Mapping[bytes, bytes]) -> bool:
        """Tell whether Redis has something else than this process."""
        with self._lock:  # a change is taken under it before it is stored: what is said here is not older
            same = self.known and stored == self._dumps
            self._unstored = None if same else self._unstored
        return not same

    def merge(self, stored: Mapping[bytes, bytes]) -> None:
        """Agree with what Redis has, both ways: FLUSHALL, an eviction or an old backup are put right by this."""
        self.apply(stored.values())
        with self._lock:
            now = self.clock()
            for key, entry in list(self.entries.items()):
                ended = entry.ended(now)
                if ended is not None and now - ended > REMEMBERED:
                    self._drop(key)
            lacking = [
                one for key, one in self.entries.items() if stored.get(key.encode()) != self._dumps[key.encode()]
            ]
            useless = [field for field in stored if field not in self._dumps]
            self._unstored = self._unstored if lacking or useless else None
        self.known = self.loaded = True
        self._file()
        if lacking or useless:
            self._store({entry.key: entry.dump() for entry in lacking}, useless)
            self._tell_others(lacking, 0)

    def _store(self, fields: Mapping[str, str], useless: list[bytes]) -> None:
        redis = self._broadcaster.start().redis
        self._unstored = None if redis is None else redis.save(self.name, fields, useless)

    # -- what a process that begins knows --

    def begin(self) -> None:
        """Take what changed before this process listened, and end what ended while nobody watched."""
        self._read()
        self.tell()

    def load(self) -> None:
        """Look, once in this process, at what others know; where the state is required, in Redis too."""
        if self.loaded:
            return
        known, source = self._read(), self._broadcaster.source if self.required else None
        if source is not None:
            found = threading.Event()

            def ask() -> None:
                stored = source.load(self.name)
                if stored is not None:
                    self.apply(stored.values())
                    found.set()

            if self._broadcaster.run(f"load {self.name}", ask):
                found.wait(_PATIENCE)
            else:
                ask()
            known = found.is_set() or known
        if known:
            self._file()
        self.known = known or source is None
        if not self.known:
            self._broadcaster.complain(
                f"Shared state {self.name}: neither Redis nor another process can say what is in force. "
                "Until one does, the safe side holds."
            )
        self.loaded = True

    # -- the file of this host --

    def _path(self) -> Path:
        return state_folder(self._broadcaster.settings.broadcast_prefix) / f"state-{self.name.encode().hex()}"

    def _read(self) -> bool:
        """Take what is in the file; tell whether there is one."""
        try:
            path = self._path()
            if not path.exists() and (starter := family().starter) is not None:
                # Not yet: a master that gunicorn's USR2 started begins with what the one before it knows.
                before = path.parents[2] / f"{family().namespace}-{starter.name}" / path.parent.name / path.name
                path = before if before.exists() else path
            data = path.read_bytes()
            if data != self._filed:
                self.apply(decode(data))
                self._filed = data
        except (OSError, BadMessageError, TypeError):
            return False
        return True

    def _file(self) -> None:
        """Write what the file has and what this process has; ``unsaved`` says where that was not possible."""
        try:
            path = self._path()
            with _locked(path.with_suffix(".lock")):
                there = self._read() and path.exists()
                with self._lock:
                    data = b"[" + b",".join(self._dumps.values()) + b"]"
                if not there or data != self._filed:
                    new = path.with_suffix(".new")
                    new.write_bytes(data)
                    new.replace(path)
                    self._filed = data
        except OSError as error:
            self._unfiled = f"the file of this host: {error}"
            self._arm()
        else:
            self._unfiled = None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
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
        broadcaster = broadcaster or get_broadcaster()
        shared = broadcaster.states.get(name)
        if shared is None:
            shared = broadcaster.states.setdefault(name, Kept(name, broadcaster, clock))
        assert isinstance(shared, Kept)
        self._shared = shared
        shared.required |= required
        if check is not None:
            shared.checks.append(check)
        if on_change is not None:
            shared.introduce(on_change)

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
        now, value = self._shared.clock(), _checked_value(value)
        expires = None if ttl is None else now + _checked_ttl(ttl)
        change = Entry(_checked_key(key), value, 1, "", now, expires, _words(who), _words(reason))
        try:
            self._shared.check(change)
        except BadMessageError as error:
            raise ValueError(f"shared state {self.name!r}: {error}") from None
        return self._shared.change(change, timeout)

    def reset(self, key: str, who: str | None = None, reason: str | None = None, timeout: float = 2.0) -> Entry:
        """End a value, whether there is one or not.

        Raises:
            ValueError: The key is out of bounds.
        """
        now = self._shared.clock()
        change = Entry(_checked_key(key), None, 1, "", now, who=_words(who), reason=_words(reason), reset=True)
        return self._shared.change(change, timeout)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value in force, ``default`` if there is none. Costs no more than looking in a dict."""
        shared = self._shared
        shared.load()
        entry = shared.entries.get(key)
        if entry is not None and entry.ended(shared.clock()) is None:
            return entry.value
        return default if shared.known or entry is not None else self._safe.get(key, default)

    def entries(self) -> dict[str, Entry]:
        """Return all that is in force: value, version, origin, expiry, who and why, by key."""
        self._shared.load()
        return self._shared.active()

    @property
    def everywhere(self) -> bool:
        """Tell whether all changes of this process are everywhere; those that somebody missed are told once more."""
        return self._shared.reach_all()

    def close(self) -> None:
        """Have ``on_change`` called no more."""
        if self._on_change in self._shared.listeners:
            self._shared.listeners.remove(self._on_change)
        if self._check in self._shared.checks:
            self._shared.checks.remove(self._check)


def _checked_key(key: str) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY:
        raise ValueError(f"a key of a shared state is a text of 1 to {MAX_KEY} characters, not {key!r:.220}")
    return key


def _checked_value(value: Any) -> Any:
    """Return ``value`` as JSON gives it back."""
    try:
        text = encode(value)
    except BadMessageError as error:
        raise ValueError(f"a value of a shared state: {error}") from None
    if len(text) > MAX_VALUE:
        raise ValueError(f"a value of a shared state has at most {MAX_VALUE:,} bytes as JSON, not {len(text):,}")
    return decode(text)


def _checked_ttl(ttl: float) -> float:
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= _LONGEST_TTL:
        raise ValueError(f"a ttl is a number of seconds up to ten years, or None for no end, not {ttl!r:.50}")
    return ttl


def _words(text: str | None) -> str | None:
    """Return who or why, cut to a length that fits every log and page."""
    return None if text is None else str(text)[:_MAX_WORDS]
