"""statsd: its lines, the way to its server, and the thread that sends what was recorded.

Lines are ``prefix.a.b:12.345|ms|#tag:value``: the format of
https://github.com/statsd/statsd/blob/master/docs/metric_types.md, tags and packed values those of
https://docs.datadoghq.com/developers/dogstatsd/datagram_shell.
"""

import logging
import os
import queue
import re
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from c2c_stats._notices import later, say
from c2c_stats._series import KEPT, LONGEST, Counter, Gauge, Identity, Series, Timer
from c2c_stats._settings import Address
from c2c_stats._sink import BuiltIn
from c2c_stats._store import Place, Store

_NOT_KEY = re.compile(r"[^A-Za-z0-9_]")
_NOT_PREFIX = re.compile(r"[^A-Za-z0-9_.-]")
# The separators of the format, and all that str.splitlines takes for the end of a line.
_NOT_VALUE = re.compile("[,#|\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_TYPES = {"counter": b"|c", "gauge": b"|g", "timer": b"|ms"}
_ROOM_FOR_VALUE = 48
_SHORTEST = 0.001


@dataclass(frozen=True, slots=True)
class Wire:
    """What a series' lines begin and end with; the value comes between."""

    head: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class Format:
    """How lines look on one server: ``tags`` are the global ones, ``datagram`` the longest line in bytes."""

    prefix: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    datagram: int = 1432
    multi_value: bool = False

    def wire(self, identity: Identity) -> Wire:
        """Return what the lines of a series begin and end with, short enough for a datagram."""
        prefix = _NOT_PREFIX.sub("_", self.prefix).strip(".")
        parts = [_NOT_KEY.sub("_", part) or "_" for part in identity.path]
        name = ".".join([prefix, *parts] if prefix else parts)[:LONGEST].rstrip(".")
        head = name.encode() + b":"
        pairs = {
            _NOT_KEY.sub("_", key) or "_": _NOT_VALUE.sub("_", value)[:LONGEST]
            for key, value in [*self.tags.items(), *identity.tags]
            if value
        }
        room = self.datagram - len(head) - _ROOM_FOR_VALUE
        tail = _tail(pairs)
        while len(tail) > room and pairs:
            longest = max(pairs, key=lambda key: len(pairs[key].encode("utf-8", "replace")))
            if pairs[longest]:
                pairs[longest] = pairs[longest][: len(pairs[longest]) // 2]
            else:
                del pairs[max(pairs, key=len)]
            tail = _tail(pairs)
        return Wire(head, _TYPES[identity.kind] + tail)

    def counter(self, wire: Wire, increment: float) -> bytes:
        """Return the line that adds to a counter."""
        return wire.head + number(increment) + wire.tail

    def gauge(self, wire: Wire, value: float) -> bytes:
        """Return the line, or the two, that set a gauge. One with a sign would change it by so much: set to 0 first."""
        line = wire.head + number(value) + wire.tail
        return wire.head + b"0" + wire.tail + b"\n" + line if value < 0 else line

    def timers(self, wire: Wire, seconds: Sequence[float]) -> list[tuple[bytes, int]]:
        """Return texts of one or more lines, each short enough for a datagram, with how many durations each has.

        Durations are in milliseconds with three decimals, never 0.
        """
        if not seconds:
            return []
        values = [one * 1000 for one in seconds]
        if min(values) < _SHORTEST:
            values = [max(one, _SHORTEST) for one in values]
        head, tail = wire.head.replace(b"%", b"%%"), wire.tail.replace(b"%", b"%%")
        longest = len(b"%.3f" % max(values)) + 1
        if self.multi_value:
            form, between = b"%.3f", b":"
            room = self.datagram - len(wire.head) - len(wire.tail)
        else:
            form, between = head + b"%.3f" + tail, b"\n"
            room = self.datagram + 1
            longest += len(wire.head) + len(wire.tail)
            head = tail = b""
        most = max(1, room // longest)
        # One formatting for a whole datagram takes half the time of one for each line.
        whole = head + between.join([form] * most) + tail
        texts: list[tuple[bytes, int]] = []
        for at in range(0, len(values), most):
            part = values[at : at + most]
            if len(part) < most:
                whole = head + between.join([form] * len(part)) + tail
            texts.append((whole % tuple(part), len(part)))
        return texts


def number(value: float) -> bytes:
    """Return a number without exponent: whole ones without a fraction."""
    if value == int(value):
        return b"%d" % int(value)
    return (b"%.9f" % value).rstrip(b"0").rstrip(b".")


def _tail(pairs: Mapping[str, str]) -> bytes:
    if not pairs:
        return b""
    return b"|#" + ",".join(f"{key}:{pairs[key]}" for key in sorted(pairs)).encode("utf-8", "replace")


_LOG = logging.getLogger(__name__)

RESOLVE_EVERY = 60.0
"""Seconds after which a name is resolved again."""
# A full buffer is waited for so long (ms); this runs in a thread of its own.
_PATIENCE = 200

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
        self._peers: list[_Peer] = []
        self._resolved = 0.0
        self._away = False
        self._in_doubt: list[Any] = []
        self._lost: list[Any] = []

    def prepare(self) -> OSError | None:
        """Find the server, which may take long, where that was not done for a while."""
        if not self._peers or self._clock() - self._resolved > RESOLVE_EVERY:
            return self._resolve()
        return None

    def send(self, datagram: bytes, about: Any = None, *, wait: bool = True) -> bool:
        """Send one datagram, trying one address after the other; False where none takes it.

        ``about`` is what ``settle`` will tell of it. Without ``wait`` neither a name is looked up nor room waited for.
        """
        error = self.prepare() if wait else None
        # Once more than there are: a socket to a server that was started anew fails once.
        for _ in range(len(self._peers) + 1 if self._peers else 0):
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

    @property
    def ready(self) -> bool:
        """Whether the server was found, so that ``send`` needs not wait."""
        return bool(self._peers)

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
        """Close the socket; the next datagram opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _try(self, datagram: bytes, patience: int) -> OSError | None:
        try:
            opened = self._socket or self._open(*self._peers[0])
            try:
                opened.send(datagram)
            except BlockingIOError:
                # select() knows no file above 1023.
                full = select.poll()
                full.register(opened, select.POLLOUT)
                if not full.poll(patience):
                    return TimeoutError("its buffer is full")
                opened.send(datagram)
        except BlockingIOError:
            return TimeoutError("its buffer is full")
        except OSError as error:
            return error
        return self._pending()

    def _open(self, family: socket.AddressFamily, peer: Any) -> socket.socket:
        new = socket.socket(family, socket.SOCK_DGRAM)
        try:
            new.setblocking(False)
            new.connect(peer)  # only a connected socket is told of refusals
        except OSError:
            new.close()
            raise
        self._socket = new
        return new

    def _pending(self) -> OSError | None:
        """Return what the network said of datagrams sent before."""
        number = 0 if self._socket is None else self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return OSError(number, os.strerror(number)) if number else None

    def _give_up_address(self) -> None:
        """Go on with the next address: what was sent to this one is lost."""
        self.close()
        self._peers.append(self._peers.pop(0))
        self._lost += self._in_doubt
        self._in_doubt = []

    def _resolve(self) -> OSError | None:
        """Find the addresses of the server; keep the socket there is, where its address is still one of them."""
        self._resolved = self._clock()
        try:
            found = self._find()
        except (OSError, UnicodeError) as error:
            # UnicodeError: a name that IDNA can't encode. The addresses known before may still do.
            return error if isinstance(error, OSError) else OSError(str(error))
        if self._socket is not None and self._peers[0] in found:
            found.remove(self._peers[0])
            found.insert(0, self._peers[0])
        else:
            self.close()
        self._peers = found
        return None

    def _find(self) -> list[_Peer]:
        if self._address.path:
            return [(socket.AF_UNIX, self._address.path)]
        found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_DGRAM)
        return list(dict.fromkeys((family, peer) for family, _, _, _, peer in found))

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


def about(chunks: list[Chunk]) -> tuple[int, list[tuple[Series, float]]]:
    """Return what is to be known of a datagram once it is sent: its number of values, and what could be sent again."""
    kept = [(chunk.series, chunk.amount) for chunk in chunks if chunk.series is not None]
    return sum(chunk.values for chunk in chunks), kept


SENT = ("statsd", "sent")
DROPPED = ("statsd", "dropped")
"""The counters of values that were handed to the network, and that were given up."""

_MOST_WAITING = 20_000
_JOIN = 2.0
_WATCH = 0.5


class StatsdBackend(BuiltIn):
    """Sends every ``interval`` seconds, and at the end of the process; with 0 each value as it is recorded.

    Nothing that measures waits: a name is looked up, and a full buffer waited for, in a thread alone.
    Counters and gauges that could not be sent are sent later; timers are dropped, and counted.
    """

    _thread: threading.Thread | None
    _asked: "queue.SimpleQueue[bool]"
    _busy: threading.Lock
    _waiting: "deque[tuple[Series, float]]"
    _sender: Sender

    def __init__(self, store: Store, address: Address, form: Format, interval: float) -> None:
        super().__init__(store)
        self.place: Place | None = None
        self.burst: Callable[[Timer], None] | None = self._send_burst if interval else None
        self.tell: Callable[[Any, float], None] | None = None if interval else self._at_once
        self._address = address
        self._sender = Sender(address)
        self._form = form
        self._interval = interval
        self._stopping: threading.Thread | None = None
        self.forked()

    def start(self) -> None:
        """Start the thread."""
        # A new one: a thread that did not end in time keeps its own, and ends with it.
        self._asked = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(self._asked,), name="c2c-stats-statsd", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have the thread send what is recorded, and end."""
        if self._thread is not None:
            self._stopping, self._thread = self._thread, None
            self._asked.put(True)

    def join(self) -> None:
        """Wait for the end of the thread, for two seconds."""
        thread, self._stopping = self._stopping, None
        if thread is not None:
            thread.join(_JOIN)

    def forked(self) -> None:
        """Forget the parent's thread and values."""
        self._thread = self._stopping = None
        self._asked = queue.SimpleQueue()
        self._waiting = deque()
        # Between the thread and those who send a burst, who only try: nobody waits while a name is looked up.
        self._busy = threading.Lock()
        self._lost = 0
        self._sender.close()
        self._sender = Sender(self._address)

    def _send_burst(self, series: Timer) -> None:
        """Send a timer's values from the thread that records them, which made them many: it neither waits nor raises.

        The other thread alone would not keep up with a loop that never lets go of the interpreter.
        """
        if self._busy.acquire(blocking=False):
            dropped = 0
            try:
                if series.kept is not None and self._sender.ready:
                    for chunk in self._timers(series, series.kept):
                        if not self._sender.send(chunk.text, (chunk.values, ()), wait=False):
                            dropped += chunk.values
            finally:
                self._busy.release()
            self._count(0, dropped)

    def _at_once(self, series: Series, value: float) -> None:
        if series.identity.name in {SENT, DROPPED}:
            return
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append((series, value))
            self._asked.put(False)
        else:
            self._store.counter(DROPPED, None).inc()

    # -- in the thread ----------------------------------------------------------------------------------------------

    def _run(self, asked: "queue.SimpleQueue[bool]") -> None:
        with self._busy:
            self._sender.prepare()
        last = False
        while not last:
            try:
                last = asked.get(timeout=self._interval or _WATCH)
            except queue.Empty:
                last = False
            try:
                self.flush(last=last)
            except Exception:  # noqa: BLE001 # a thread that ends would end all metrics
                _LOG.warning("Sending metrics to statsd failed", exc_info=True)
        with self._busy:
            self._sender.close()

    def flush(self, *, last: bool = False) -> None:
        """Send all that was recorded since the last flush; what this one sent is settled by the next, or the last."""
        with self._busy:
            sent, lost = self._sender.settle()
            failing = False
            for chunks in self._datagrams():
                what = about(chunks)
                failing = failing or not self._sender.send(b"\n".join(chunk.text for chunk in chunks), what)
                if failing:
                    lost.append(what)
                    if not self._interval:
                        break  # the others wait, in order
            if last:
                more_sent, more_lost = self._sender.settle()
                sent, lost = sent + more_sent, lost + more_lost
            dropped = self._lost + sum(self._give_back(*what) for what in lost)
            self._lost = 0
        self._count(sum(values for values, _ in sent), dropped)
        say()

    def _datagrams(self) -> Iterator[list[Chunk]]:
        if self._interval:
            return pack(self._collect(), self._form.datagram)
        return ([chunk] for chunk in self._drain())

    def _count(self, sent: int, dropped: int) -> None:
        """Count, without the lock: a backend of the user's may be told, and log."""
        if sent:
            self._store.counter(SENT, None).inc(sent)
        if dropped:
            self._store.counter(DROPPED, None).inc(dropped)

    def _give_back(self, values: int, again: list[tuple[Series, float]]) -> int:
        """Have the counters and gauges of a datagram sent again; return how many values can't be."""
        for series, amount in again:
            if not self._interval:
                if isinstance(series, Counter) or amount == series.cells[0]:
                    self._waiting.appendleft((series, amount))
            elif isinstance(series, Counter):
                series.sent -= amount
            elif isinstance(series, Gauge):
                series.sent = (0.0, 0.0)
        return values - len(again)

    def _wire(self, series: Series) -> Wire:
        if series.wire is None or series.wire[0] is not self._form:
            series.wire = (self._form, self._form.wire(series.identity))
        wire: Wire = series.wire[1]
        return wire

    def _collect(self) -> Iterator[Chunk]:
        form = self._form
        for series in self._store.all():
            if isinstance(series, Counter):
                amount = series.cells[0] - series.sent
                if amount > 0 and series.identity.name != SENT:
                    series.sent += amount
                    yield Chunk(form.counter(self._wire(series), amount), series, amount=amount)
            elif isinstance(series, Gauge):
                now = (series.cells[0], series.cells[1])
                if now[1] and now != series.sent:
                    series.sent = now
                    yield Chunk(form.gauge(self._wire(series), now[0]), series, amount=now[0])
            elif isinstance(series, Timer) and series.kept is not None:
                yield from self._timers(series, series.kept)

    def _timers(self, series: Timer, kept: "deque[float]") -> Iterator[Chunk]:
        count = series.count()
        values = [kept.popleft() for _ in range(len(kept))]
        for text, number in self._form.timers(self._wire(series), values):
            yield Chunk(text, values=number)
        # Of a full deque the oldest went: as many as were counted and are not here.
        lost = max(0, int(count - series.seen) - len(values)) if len(values) >= KEPT else 0
        series.seen += len(values) + lost
        self._lost += lost

    def _drain(self) -> Iterator[Chunk]:
        form = self._form
        while self._waiting:
            series, value = self._waiting.popleft()
            wire = self._wire(series)
            if isinstance(series, Timer):
                yield Chunk(form.timers(wire, [value])[0][0])
            elif isinstance(series, Gauge):
                yield Chunk(form.gauge(wire, value), series, amount=value)
            else:
                yield Chunk(form.counter(wire, value), series, amount=value)
