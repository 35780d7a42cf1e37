"""The statsd backend: a thread collects what was recorded and sends it."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from c2c_stats._address import Address
from c2c_stats._series import KEPT, Counter, Gauge, Series, Timer
from c2c_stats._sink import BuiltIn
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


@dataclass(frozen=True, slots=True)
class Line:
    """A line to send, and what it stands for: ``values`` records of ``series``, or an increment of ``amount``."""

    text: bytes
    series: Series
    values: int = 1
    amount: float = 0.0


class StatsdBackend(BuiltIn):
    """Sends every ``interval`` seconds, and at the end of the process; with 0 each value as it is recorded.

    Only its thread touches the network, so that nothing that measures waits for a name server or a full buffer.
    Counters and gauges that could not be sent are sent later; timers are dropped, and counted.
    """

    _thread: threading.Thread | None
    _asked: "SimpleQueue[bool]"
    _waiting: "deque[tuple[Series, float]]"

    def __init__(self, store: Store, address: Address, form: Format, interval: float) -> None:
        super().__init__(store)
        self.place: Place | None = None
        self.wake: Callable[[], None] | None = self._ask if interval else None
        self.tell: Callable[[Any, float], None] | None = None if interval else self._at_once
        self._address = address
        self._form = form
        self._interval = interval
        self.forked()

    def start(self) -> None:
        """Start the thread."""
        # New ones: a thread that did not end in time keeps its own, and ends with them.
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

    def _ask(self) -> None:
        self._asked.put(False)

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
        sender = Sender(self._address)
        last = False
        while not last:
            try:
                last = asked.get(timeout=self._interval or _WATCH)
            except Empty:
                last = False
            try:
                self.flush(sender)
            except Exception:  # noqa: BLE001 # a thread that ends would end all metrics
                _LOG.warning("Sending metrics to statsd failed", exc_info=True)
        sender.close()

    def flush(self, sender: Sender) -> None:
        """Send all that was recorded since the last flush."""
        lines = list(self._collect()) if self._interval else list(self._drain())
        failing = False
        sent = dropped = 0
        for datagram in self._pack(lines):
            failing = failing or not sender.send(b"\n".join(line.text for line in datagram))
            for line in datagram:
                if not failing:
                    sent += line.values
                elif not self._give_back(line):
                    dropped += line.values
        if sent:
            self._store.counter(SENT, None).inc(sent)
        if dropped:
            self._store.counter(DROPPED, None).inc(dropped)

    def _pack(self, lines: list[Line]) -> Iterator[list[Line]]:
        """Divide lines into datagrams."""
        packed: list[Line] = []
        used = 0
        for line in lines:
            if packed and (used + len(line.text) > self._form.datagram or not self._interval):
                yield packed
                packed, used = [], 0
            packed.append(line)
            used += len(line.text) + 1
        if packed:
            yield packed

    def _give_back(self, line: Line) -> bool:
        """Have what a line stands for sent later, where that is possible."""
        if not self._interval or isinstance(line.series, Timer):
            return False
        if isinstance(line.series, Counter):
            line.series.sent -= line.amount
        elif isinstance(line.series, Gauge):
            line.series.sent = (0.0, 0.0)
        return True

    def _wire(self, series: Series) -> Wire:
        if series.wire is None or series.wire[0] is not self._form:
            series.wire = (self._form, self._form.wire(series.identity))
        wire: Wire = series.wire[1]
        return wire

    def _collect(self) -> Iterator[Line]:
        form = self._form
        for series in self._store.all():
            if isinstance(series, Counter):
                amount = series.cells[0] - series.sent
                if amount > 0 and series.identity.name != SENT:
                    series.sent += amount
                    yield Line(form.counter(self._wire(series), amount), series, amount=amount)
            elif isinstance(series, Gauge):
                now = (series.cells[0], series.cells[1])
                if now[1] and now != series.sent:
                    series.sent = now
                    yield Line(form.gauge(self._wire(series), now[0]), series)
            elif isinstance(series, Timer) and series.kept is not None:
                yield from self._timers(series, series.kept)

    def _timers(self, series: Timer, kept: "deque[float]") -> Iterator[Line]:
        count = series.count()
        values = [kept.popleft() for _ in range(len(kept))]
        for text, number in self._form.timers(self._wire(series), values):
            yield Line(text, series, number)
        # Of a full deque the oldest went: as many as were counted and are not here.
        lost = max(0, int(count - series.seen) - len(values)) if len(values) >= KEPT else 0
        series.seen += len(values) + lost
        if lost:
            self._store.counter(DROPPED, None).inc(lost)

    def _drain(self) -> Iterator[Line]:
        form = self._form
        while self._waiting:
            series, value = self._waiting.popleft()
            wire = self._wire(series)
            if isinstance(series, Timer):
                yield Line(form.timers(wire, [value])[0][0], series)
            elif isinstance(series, Gauge):
                yield Line(form.gauge(wire, value), series)
            else:
                yield Line(form.counter(wire, value), series)
