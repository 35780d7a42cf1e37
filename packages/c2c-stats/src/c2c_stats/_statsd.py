"""The statsd backend: a thread collects what was recorded and sends it."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

from c2c_stats._address import Address
from c2c_stats._series import KEPT, Counter, Gauge, Series, Timer
from c2c_stats._sink import BuiltIn
from c2c_stats._statsd_chunks import Chunk, pack
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
    _asked: "SimpleQueue[bool]"
    _busy: threading.Lock
    _waiting: "deque[tuple[Series, float]]"

    def __init__(self, store: Store, address: Address, form: Format, interval: float) -> None:
        super().__init__(store)
        self.place: Place | None = None
        self.burst: Callable[[Timer], None] | None = self._send_burst if interval else None
        self.tell: Callable[[Any, float], None] | None = None if interval else self._at_once
        self._sender = Sender(address)
        self._form = form
        self._interval = interval
        self.forked()

    def start(self) -> None:
        """Start the thread."""
        # A new one: a thread that did not end in time keeps its own, and ends with it.
        self._asked = SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(self._asked,), name="c2c-stats-statsd", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send what is recorded and end the thread, within two seconds."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._asked.put(True)
            thread.join(_JOIN)

    def forked(self) -> None:
        """Forget the parent's thread and values."""
        self._thread = None
        self._asked = SimpleQueue()
        self._waiting = deque()
        self._busy = threading.Lock()
        self._sender.close()

    def _send_burst(self, series: Timer) -> None:
        """Send a timer's values from the thread that records them, which made them many: it neither waits nor raises.

        The other thread alone would not keep up with a loop that never lets go of the interpreter.
        """
        if self._busy.acquire(blocking=False):
            try:
                if series.kept is not None and self._sender.ready:
                    self._count(
                        [(chunk, self._sender.send_now(chunk.text)) for chunk in self._timers(series, series.kept)]
                    )
            finally:
                self._busy.release()

    def _at_once(self, series: Series, value: float) -> None:
        if series.identity.name in {SENT, DROPPED}:
            return
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append((series, value))
            self._asked.put(False)
        else:
            self._store.counter(DROPPED, None).inc()

    # -- in the thread ----------------------------------------------------------------------------------------------

    def _run(self, asked: "SimpleQueue[bool]") -> None:
        with self._busy:
            self._sender.connect()
        last = False
        while not last:
            try:
                last = asked.get(timeout=self._interval or _WATCH)
            except Empty:
                last = False
            try:
                with self._busy:
                    self.flush()
            except Exception:  # noqa: BLE001 # a thread that ends would end all metrics
                _LOG.warning("Sending metrics to statsd failed", exc_info=True)
        with self._busy:
            self._sender.close()

    def flush(self) -> None:
        """Send all that was recorded since the last flush."""
        chunks = list(self._collect()) if self._interval else list(self._drain())
        done: list[tuple[Chunk, bool]] = []
        failing = False
        for datagram in pack(chunks, self._form.datagram if self._interval else 0):
            failing = failing or not self._sender.send(b"\n".join(chunk.text for chunk in datagram))
            done += [(chunk, not failing) for chunk in datagram]
        self._count(done)

    def _count(self, chunks: list[tuple[Chunk, bool]]) -> None:
        """Count what was sent and what was not, after it was given back where it can be."""
        sent = dropped = 0
        for chunk, arrived in chunks:
            if arrived:
                sent += chunk.values
            elif not self._give_back(chunk):
                dropped += chunk.values
        if sent:
            self._store.counter(SENT, None).inc(sent)
        if dropped:
            self._store.counter(DROPPED, None).inc(dropped)

    def _give_back(self, chunk: Chunk) -> bool:
        """Have what a chunk stands for sent later, where that is possible."""
        if not self._interval or isinstance(chunk.series, Timer):
            return False
        if isinstance(chunk.series, Counter):
            chunk.series.sent -= chunk.amount
        elif isinstance(chunk.series, Gauge):
            chunk.series.sent = (0.0, 0.0)
        return True

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
                    yield Chunk(form.gauge(self._wire(series), now[0]), series)
            elif isinstance(series, Timer) and series.kept is not None:
                yield from self._timers(series, series.kept)

    def _timers(self, series: Timer, kept: "deque[float]") -> Iterator[Chunk]:
        count = series.count()
        values = [kept.popleft() for _ in range(len(kept))]
        for text, number in self._form.timers(self._wire(series), values):
            yield Chunk(text, series, number)
        # Of a full deque the oldest went: as many as were counted and are not here.
        lost = max(0, int(count - series.seen) - len(values)) if len(values) >= KEPT else 0
        series.seen += len(values) + lost
        if lost:
            self._store.counter(DROPPED, None).inc(lost)

    def _drain(self) -> Iterator[Chunk]:
        form = self._form
        while self._waiting:
            series, value = self._waiting.popleft()
            wire = self._wire(series)
            if isinstance(series, Timer):
                yield Chunk(form.timers(wire, [value])[0][0], series)
            elif isinstance(series, Gauge):
                yield Chunk(form.gauge(wire, value), series)
            else:
                yield Chunk(form.counter(wire, value), series)
