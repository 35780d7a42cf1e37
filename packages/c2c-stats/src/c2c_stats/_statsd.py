"""The statsd backend: a thread collects what was recorded and sends it."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from c2c_stats._address import Address
from c2c_stats._notices import say
from c2c_stats._series import KEPT, Counter, Gauge, Series, Timer
from c2c_stats._sink import BuiltIn
from c2c_stats._statsd_chunks import Chunk, about, pack
from c2c_stats._statsd_lines import Format, Wire
from c2c_stats._statsd_socket import Sender
from c2c_stats._store import Place, Store

_LOG = logging.getLogger(__name__)

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
