"""One ``ask``: whom it expects and what came, who the members are, and how messages look."""

import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from c2c_broadcast.process import Process
from c2c_broadcast.secrets import Masker

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of the longest message, 16 MiB."""
_ENVELOPE = 4096  # a little more than what is sent
_LONGEST_NAME = 200
_LONGEST_ERROR = 2_000
_LONGEST_READ = 1_000_000

_LOG = logging.getLogger("c2c_broadcast.broadcast")


class BroadcastError(Exception):
    """A broadcast that could not be made: the message says why and what to do."""


class BadMessageError(Exception):
    """What no message can hold, or a message that is dropped: the text says why."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A member whose callback could not answer: it raised, it was busy, or JSON can't hold what it returned.

    ``type`` is the name of the exception's class, ``message`` its text with secrets masked.
    """

    hostname: str
    pid: int
    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A member that did not answer; ``last_seen`` is its last sign of life in seconds since the epoch, 0 for none."""

    hostname: str
    pid: int
    application: str
    last_seen: float


@dataclass(frozen=True, slots=True)
class Answers:
    """All that is known when an ``ask`` ends.

    ``answers`` are the callbacks' return values as JSON gives them back, in the order they came; a dict has
    ``hostname`` and ``pid`` of its process. ``missing`` did not answer at all; ``late`` took the request and are still
    at work. ``complete`` is true when all processes that are known to exist answered or failed, and those on other
    hosts, where Redis is configured, could be asked.
    """

    answers: list[Any]
    failed: list[Failure]
    missing: list[Missing]
    late: list[Missing]
    complete: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A process that takes part in broadcasts.

    ``started`` and ``seen`` are seconds since the epoch; ``machine`` names the kernel and the PID namespace in which
    ``process`` is meaningful; members of one ``family`` reach each other without Redis, where it is not empty.
    ``joined`` is when it began to listen to Redis, in Redis's clock.
    """

    id: str
    hostname: str
    process: Process
    started: float
    application: str
    machine: str = ""
    family: str = ""
    seen: float = 0.0
    joined: float = 0.0

    @property
    def pid(self) -> int:
        return self.process.pid

    @classmethod
    def parse(cls, data: bytes | str) -> "Member":
        """Return the member that ``dump`` described; BadMessageError where it is none."""
        fields = decode(data)
        try:
            texts = [str(fields[name]) for name in ("id", "hostname", "application", "machine", "family")]
            times = [float(fields[name]) for name in ("started", "seen", "joined")]
            process = Process(int(fields["process"]["pid"]), int(fields["process"]["ticks"]))
        except (ValueError, TypeError, KeyError):
            raise BadMessageError("it is no member") from None
        return cls(texts[0], texts[1], process, times[0], texts[2], texts[3], texts[4], times[1], times[2])

    def dump(self) -> str:
        return encode(asdict(self))

    def missing(self) -> Missing:
        return Missing(self.hostname, self.pid, self.application, self.seen)


@dataclass(frozen=True, slots=True)
class Health:
    """How the broadcaster of this process is.

    ``transport`` is ``redis`` where that is configured, else ``host``. ``connected``: the others can be reached;
    ``listening`` is false only if the thread of a listener is dead, which it never should be; ``queued`` counts the
    callbacks that wait for a thread; ``error`` says, masked, why there is no connection. ``unsaved`` names the shared
    states that are not stored, with the reason; ``refused`` the commands that Redis refuses, with what it says.
    """

    transport: str
    connected: bool
    listening: bool
    queued: int
    error: str | None
    unsaved: Mapping[str, str]
    refused: Mapping[str, str]


class Call:
    """What is expected and what has come. The asking thread waits for ``fd`` to be readable; other threads report."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.begun = time.time()
        self.answers: list[Any] = []
        self.failed: list[Failure] = []
        self.waiting: dict[str, Member] = {}
        self.late: set[str] = set()
        self.missing: dict[str, Member] = {}
        self.unasked: list[Member] = []  # processes that have not begun to listen: nobody waits for them
        self.whole = True  # whether it is known that there are no others
        self._answered: set[str] = set()  # also those that answered before it was known that they are expected
        self._lock = threading.Lock()
        self.fd = self._write = -1
        try:
            self.fd, self._write = os.pipe()
        except OSError:  # no descriptor is free: nobody wakes who waits
            self.whole = False

    def close(self) -> None:
        """Let no thread wake the asking one any more."""
        with self._lock:
            ends, self.fd, self._write = (self.fd, self._write), -1, -1
        for end in ends:
            if end >= 0:
                os.close(end)

    def expect(self, members: Iterable[Member]) -> None:
        """Wait for these, unless they have answered."""
        with self._lock:
            self.waiting.update((one.id, one) for one in members if one.id not in self._answered)

    def expect_only(self, member: Member) -> None:
        """Wait for no other than this one."""
        with self._lock:
            self.waiting = {id_: one for id_, one in self.waiting.items() if id_ == member.id}

    def answer(self, member: str, message: dict[str, Any]) -> None:
        """Take a member's word: ``answer``, ``failure``, ``working`` (that takes time), or that it has no callback."""
        try:
            failed = [Failure(**message["failure"])] if "failure" in message else []
        except TypeError:
            raise BadMessageError("its failure is none") from None
        with self._lock:
            if member in self._answered:
                return
            if "working" in message:
                self.late.add(member)
                return
            self._answered.add(member)
            self.waiting.pop(member, None)
            self.missing.pop(member, None)
            self.failed += failed
            self.answers += [message["answer"]] if "answer" in message else []
            if self._write >= 0 and not self.waiting:
                os.write(self._write, b"1")

    def give_up(self, member: Member, *, missing: bool) -> None:
        """Wait for a member no longer; name it as missing, or not."""
        with self._lock:
            if self.waiting.pop(member.id, None) is not None and missing:
                self.missing[member.id] = member

    def result(self) -> Answers:
        """Return what came; whoever is waited for still is late or missing."""
        with self._lock:
            silent = list(self.waiting.values())
            late = [one.missing() for one in silent if one.id in self.late]
            lost = [one for one in silent if one.id not in self.late]
            missing = [one.missing() for one in (*lost, *self.missing.values(), *self.unasked)]
            complete = self.whole and not late and not missing
            return Answers(list(self.answers), list(self.failed), missing, late, complete)


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def encode(value: Any) -> str:
    """Return ``value`` as JSON; BadMessageError where that can't hold it (a set, NaN, a cycle), or over 16 MiB."""
    try:
        text = _ENCODER.encode(value)
    except RecursionError:
        raise BadMessageError("JSON can't hold it: it is nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise BadMessageError(f"JSON can't hold it: {error}") from None
    # The encoder escapes what is not ASCII, so that characters are bytes.
    if len(text) > MAX_MESSAGE:
        raise BadMessageError(f"it is over {MAX_MESSAGE:,} bytes as JSON ({len(text):,})")
    return text


# ``int("NaN")`` and the like are a ValueError: they are no JSON.
_DECODER = json.JSONDecoder(parse_constant=int)


def decode(data: bytes | str) -> Any:
    """Return what is in a JSON text; BadMessageError where it is none, or over 16 MiB."""
    if len(data) > MAX_MESSAGE + _ENVELOPE:
        raise BadMessageError(f"it is over {MAX_MESSAGE:,} bytes")
    try:
        return _DECODER.decode(data if isinstance(data, str) else data.decode())
    except (ValueError, RecursionError):
        raise BadMessageError("it is not JSON") from None


def decode_object(data: bytes, **shape: type) -> dict[str, Any]:
    """Return the JSON object in a message, which has at least the keys of ``shape`` with values of these types."""
    message = decode(data)
    if not isinstance(message, dict):
        raise BadMessageError("it is not a JSON object")
    for key, kind in shape.items():
        if type(message.get(key)) is not kind:
            raise BadMessageError(f"its {key!r} is missing or no {kind.__name__}")
    return message


def checked(channel: str, params: Mapping[str, Any] | None = None, timeout: float = 0.0) -> str:
    """Return the parameters as JSON."""
    if not isinstance(channel, str) or not 0 < len(channel) <= _LONGEST_NAME or not channel.isprintable():
        raise BroadcastError(f"a broadcast channel's name is 1 to 200 printable characters, not {channel!r:.220}")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or math.isnan(timeout):
        raise BroadcastError(f"broadcast channel {channel!r}: timeout is a number of seconds, not {timeout!r:.50}")
    if not isinstance(params, Mapping | None):
        raise BroadcastError(f"broadcast channel {channel!r}: its parameters go by name, in a dict: {params!r:.200}")
    try:
        return encode(dict(params or {}))
    except BadMessageError as error:
        raise BroadcastError(f"broadcast channel {channel!r}: its parameters: {error}") from None


def run(channel: str, callback: Callable[..., Any], params: Mapping[str, Any], me: Member) -> str:
    """Call ``callback(**params)``; return its answer, or how it failed, as a part of a JSON object.

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
        return f'"answer":{encode(answer)}'
    except BadMessageError as error:
        _LOG.warning("What the callback of the broadcast channel %r returned can't be sent: %s", channel, error)
        return failure(me, error)


def failure(me: Member, error: BaseException) -> str:
    """Return an exception as a part of a JSON object, without its secrets."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 # a foreign __str__ may raise anything
        text = "(its text can't be made)"
    # Masked before it is cut: half a URL would not show its password for one.
    masked = Masker.of(os.environ)(text[:_LONGEST_READ])
    return f'"failure":{encode(asdict(Failure(me.hostname, me.pid, type(error).__name__, masked[:_LONGEST_ERROR])))}'
