"""statsd: its lines, the way to its server, and the thread that sends what was recorded.

Lines are ``prefix.a.b:12.345|ms|#tag:value``: the format of
https://github.com/statsd/statsd/blob/master/docs/metric_types.md, tags and packed values those of
https://docs.datadoghq.com/developers/dogstatsd/datagram_shell.
"""

import contextlib
import logging
import os
import re
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from c2c_broadcast.process import Worker
from c2c_stats._series import KEPT, LONGEST, Counter, Gauge, Identity, Series, Timer, later, say
from c2c_stats._settings import Address
from c2c_stats._sink import BuiltIn, Sink

_NOT_KEY = re.compile(r"[^A-Za-z0-9_]")
_NOT_PREFIX = re.compile(r"[^A-Za-z0-9_.-]")
# The separators of the format, and all that str.splitlines takes for the end of a line.
_NOT_VALUE = re.compile("[,#|\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_TYPES = {"counter": b"|c", "gauge": b"|g", "timer": b"|ms"}
_ROOM_FOR_VALUE = 50
_SHORTEST = 0.001

Wire = tuple[bytes, bytes]  # what a series' lines begin and end with; the value comes between


@dataclass(frozen=True, slots=True)
class Format:
    """How lines look on one server: ``tags`` are the global ones, ``datagram`` the longest line in bytes."""

    prefix: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    datagram: int = 1432
    multi_value: bool = False

    def wire(self, identity: Identity) -> Wire:
        prefix = _NOT_PREFIX.sub("_", self.prefix).strip(".")
        parts = [_NOT_KEY.sub("_", part) or "_" for part in identity.path]
        name = ".".join([prefix, *parts] if prefix else parts)[:LONGEST].rstrip(".")
        head = name.encode() + b":"
        pairs = {
            _NOT_KEY.sub("_", key) or "_": _NOT_VALUE.sub("_", value)[:LONGEST]
            for key, value in [*self.tags.items(), *identity.tags]
            if value
        }
        tail = ",".join(f"{key}:{pairs[key]}" for key in sorted(pairs)).encode("utf-8", "replace")
        while len(tail) > self.datagram - len(head) - _ROOM_FOR_VALUE:
            tail = tail.rpartition(b",")[0]  # without the last tag
        return head, _TYPES[identity.kind] + (b"|#" + tail if tail else b"")

    def gauge(self, wire: Wire, value: float) -> bytes:
        """Return the line, or the two, that set a gauge. One with a sign would change it by so much: set to 0 first."""
        head, tail = wire
        line = head + number(value) + tail
        return head + b"0" + tail + b"\n" + line if value < 0 else line

    def timers(self, wire: Wire, seconds: Sequence[float]) -> Iterator[tuple[bytes, int]]:
        """Yield texts of one or more lines, each short enough for a datagram, with how many durations each has.

        Durations are in milliseconds with three decimals, never 0.
        """
        values = [one * 1000 if one > _SHORTEST / 1000 else _SHORTEST for one in seconds]
        head, tail = wire[0].replace(b"%", b"%%"), wire[1].replace(b"%", b"%%")
        frame, longest = len(wire[0]) + len(wire[1]), len(b"%.3f" % max(values, default=0)) + 1
        if self.multi_value:
            form, between, most = b"%.3f", b":", (self.datagram - frame) // longest
        else:
            form, between, most = head + b"%.3f" + tail, b"\n", (self.datagram + 1) // (frame + longest)
            head = tail = b""
        most = max(1, most)
        for at in range(0, len(values), most):
            part = tuple(values[at : at + most])
            # One formatting for a whole datagram takes half the time of one for each line.
            yield (head + between.join([form] * len(part)) + tail) % part, len(part)


def number(value: float) -> bytes:
    """Return a number without exponent: whole ones without a fraction."""
    if value == int(value):
        return b"%d" % int(value)
    return (b"%.9f" % value).rstrip(b"0").rstrip(b".")


_LOG = logging.getLogger(__name__)

RESOLVE_EVERY = 60.0  # seconds after which a name is resolved again
_PATIENCE = 200  # ms that a full buffer is waited for, in a thread of its own
_Peer = tuple[socket.AddressFamily, Any]


class Sender:
    """Send datagrams to the first of a server's addresses that takes them.

    Nobody answers a datagram; but where nobody listens the network says so (ICMP): at once on this host, later from
    another one. So a datagram that was sent is in doubt until ``settle``. When the server goes away and when it is back
    is told to ``say``, once.
    """

    def __init__(self, address: Address, clock: Callable[[], float] = monotonic) -> None:
        self._address = address
        self._clock = clock
        self._socket: socket.socket | None = None
        self.peers: list[_Peer] = []  # where it was found, so that ``send`` needs not wait
        self._resolved = 0.0
        self._away = False
        self._in_doubt: list[Any] = []
        self._lost: list[Any] = []

    def prepare(self) -> OSError | None:
        """Find the server, which may take long, where that was not done for a while."""
        if self.peers and self._clock() - self._resolved <= RESOLVE_EVERY:
            return None
        self._resolved = self._clock()
        try:
            if self._address.path:
                found: list[_Peer] = [(socket.AF_UNIX, self._address.path)]
            else:
                named = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_DGRAM)
                found = list(dict.fromkeys((family, peer) for family, _, _, _, peer in named))
        except (OSError, UnicodeError) as error:
            # UnicodeError: a name that IDNA can't encode. The addresses known before may still do.
            return error if isinstance(error, OSError) else OSError(str(error))
        if self._socket is not None:
            found.sort(key=lambda peer: peer != self.peers[0])  # stay with the one that takes them
            if found[0] != self.peers[0]:
                self.close()
        self.peers = found
        return None

    def send(self, datagram: bytes, about: Any = None, *, wait: bool = True) -> bool:
        """Send one datagram, trying one address after the other; False where none takes it.

        ``about`` is what ``settle`` will tell of it. Without ``wait`` neither a name is looked up nor room waited for.
        """
        error = self.prepare() if wait else None
        # Once more than there are: a socket to a server that was started anew fails once.
        for _ in range(len(self.peers) + 1 if self.peers else 0):
            error = self._try(datagram, _PATIENCE if wait else 0)
            if error is None:
                self._in_doubt.append(about)
                return True
            if isinstance(error, TimeoutError):
                break
            self._give_up_address()
        if not isinstance(error, TimeoutError):
            self._resolved = -RESOLVE_EVERY
        self._tell(error)
        return False

    def settle(self) -> tuple[list[Any], list[Any]]:
        """Return what the datagrams were about that nobody refused since the last call, and those that were refused."""
        error = self._pending()
        if error is not None:
            self._give_up_address()
            self._tell(error)
        sent, self._in_doubt = self._in_doubt, []
        lost, self._lost = self._lost, []
        if sent and self._away:
            self._away = False
            later(_LOG, "statsd at %s can be reached again", self._address)
        return sent, lost

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _try(self, datagram: bytes, patience: int) -> OSError | None:
        try:
            if self._socket is None:
                family, peer = self.peers[0]
                self._socket = socket.socket(family, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
                self._socket.connect(peer)  # only a connected socket is told of refusals
            try:
                self._socket.send(datagram)
            except BlockingIOError:
                # select() knows no file above 1023.
                full = select.poll()
                full.register(self._socket, select.POLLOUT)
                full.poll(patience)
                self._socket.send(datagram)
        except BlockingIOError:
            return TimeoutError("its buffer is full")
        except OSError as error:
            return error
        return self._pending()

    def _pending(self) -> OSError | None:
        # What the network said of datagrams sent before.
        number = 0 if self._socket is None else self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return OSError(number, os.strerror(number)) if number else None

    def _give_up_address(self) -> None:
        """Go on with the next address: what was sent to this one is lost."""
        self.close()
        self.peers.append(self.peers.pop(0))
        self._lost += self._in_doubt
        self._in_doubt = []

    def _tell(self, error: OSError | None) -> None:
        if not self._away:
            self._away = True
            later(_LOG, "statsd at %s can't be reached, its metrics wait or are dropped: %s", self._address, error)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines to send, and what they stand for: ``values`` durations, or ``amount`` of a counter or gauge ``series``."""

    text: bytes
    series: Series | None = None
    values: int = 1
    amount: float = 0.0


def pack(chunks: Iterable[Chunk], most: int) -> Iterator[list[Chunk]]:
    """Put chunks together to datagrams of ``most`` bytes, lines separated by a new line."""
    packed: list[Chunk] = []
    used = 0
    for chunk in chunks:
        if packed and used + len(chunk.text) > most:
            yield packed
            packed, used = [], 0
        packed.append(chunk)
        used += len(chunk.text) + 1
    if packed:
        yield packed


# The counters of values that were handed to the network, and that were given up.
SENT, DROPPED = ("statsd", "sent"), ("statsd", "dropped")
_WATCH = 0.5  # seconds between two looks at what was refused, where the interval is 0


class StatsdBackend(BuiltIn):
    """Sends every ``interval`` seconds, and at the end of the process; with 0 each value as it is recorded.

    Nothing that measures waits: a name is looked up, and a full buffer waited for, in the worker's thread alone.
    Counters and gauges that could not be sent are sent later; timers are dropped, and counted.
    """

    def __init__(self, store: Sink, address: Address, form: Format, interval: float) -> None:
        super().__init__(store)
        self.burst = self._send_now
        self.tell = None if interval else self._send_now
        self._address = address
        self._form = form
        self._interval = interval
        self._sender = Sender(address)
        self._worker = Worker("c2c-stats-statsd", self._flush)
        self._closed = threading.Event()
        self.forked()

    def forked(self) -> None:
        """Forget the parent's values and socket."""
        # Between the worker and those who send at once, who only try: nobody waits while a name is looked up.
        self._busy = threading.Lock()
        self._sent = self._dropped = 0
        self._fresh = False
        self._sender.close()
        self._sender = Sender(self._address)

    def start(self) -> None:
        """Start the thread; nothing once it is closed: a thread that logs may be late to start what was stopped."""
        self._fresh = True
        if not self._closed.is_set():
            if not self._worker.wake():
                raise RuntimeError("can't start new thread")
            if self._closed.is_set():  # by another thread, meanwhile
                self._worker.close(0)

    def stop(self) -> None:
        """Send what is recorded, and end the thread; one that hangs in a look-up ends later, by itself."""
        self._worker.close(abandon=True)

    def close(self) -> None:
        self._closed.set()
        self._worker.close(0)

    def _send_now(self, series: Series, _value: float = 0.0) -> None:
        """Send a series from the thread that records it: it neither waits nor raises."""
        # Where a timer's values became many the worker alone would not keep up with a loop that never lets go of the
        # interpreter.
        if series.identity.name in {SENT, DROPPED}:
            return
        if self._sender.peers and self._busy.acquire(blocking=False):
            try:
                self._send([series], wait=False)
            finally:
                self._busy.release()
            self._count()
            return
        if isinstance(series, Timer) and series.kept and len(series.kept) > KEPT:
            with contextlib.suppress(IndexError):  # the worker has just taken them all
                series.kept.popleft()
                self._dropped += 1
        if not self._interval:
            with contextlib.suppress(RuntimeError):
                self.start()

    def _flush(self) -> float:
        """Send all that was recorded since the last time, in the worker's thread."""
        fresh, self._fresh = self._fresh, False
        last = self._worker.closing
        with self._busy:
            self._sender.prepare()
            if fresh and self._interval and not last:
                return self._interval  # it has just begun to record
            self._send(self._store.all(), wait=True)
            if last:
                self._settle()
                self._sender.close()
        self._count()
        say()
        return self._interval or _WATCH

    def _count(self) -> None:
        """Count, without the lock; not by inc(), for the last sending must not start all again."""
        # Without a call between: no other thread runs meanwhile (see _series.py).
        sent, dropped, self._sent, self._dropped = self._sent, self._dropped, 0, 0
        for name, number in ((SENT, sent), (DROPPED, dropped)):
            if number:
                self._store.counter(name).cells[0] += number

    # -- with the lock ----------------------------------------------------------------------------------------------

    def _send(self, what: list[Series], *, wait: bool) -> None:
        self._settle()
        failing = False
        for chunks in pack(self._collect(what), self._form.datagram if self._interval else 0):
            failing = failing or not self._sender.send(b"\n".join(chunk.text for chunk in chunks), chunks, wait=wait)
            if failing:
                self._give_back(chunks)

    def _settle(self) -> None:
        """Count what is sent for sure by now, and take back what was refused."""
        sent, lost = self._sender.settle()
        values = sum(chunk.values for chunks in sent for chunk in chunks)
        self._sent += values
        for chunks in lost:
            self._give_back(chunks)

    def _give_back(self, chunks: list[Chunk]) -> None:
        """Have the counters and gauges of a datagram sent again; timers are dropped."""
        for chunk in chunks:
            if isinstance(chunk.series, Counter):
                chunk.series.sent -= chunk.amount
            elif isinstance(chunk.series, Gauge):
                chunk.series.sent = Gauge.nothing
            else:
                self._dropped += chunk.values

    def _collect(self, what: list[Series]) -> Iterator[Chunk]:
        form = self._form
        for series in what:
            if series.wire is None or series.wire[0] is not form:
                series.wire = (form, form.wire(series.identity))
            wire = series.wire[1]
            if isinstance(series, Counter):
                amount = series.cells[0] - series.sent
                if amount > 0 and series.identity.name != SENT:
                    series.sent += amount
                    yield Chunk(wire[0] + number(amount) + wire[1], series, amount=amount)
            elif isinstance(series, Gauge):
                now = (series.cells[0], series.cells[1])
                if now[1] and now != series.sent:
                    series.sent = now
                    yield Chunk(form.gauge(wire, now[0]), series)
            elif isinstance(series, Timer) and series.kept:
                values: list[float] = []
                with contextlib.suppress(IndexError):  # another thread has just dropped one
                    for _ in range(len(series.kept)):
                        values.append(series.kept.popleft())  # noqa: PERF401 # keeps what it has where it ends early
                for text, count in form.timers(wire, values):
                    yield Chunk(text, values=count)
