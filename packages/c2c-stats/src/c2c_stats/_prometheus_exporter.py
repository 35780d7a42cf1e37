"""The Prometheus backend: its numbers, of all processes of the service on this host."""

from collections.abc import Callable, Iterator
from typing import Any

from c2c_stats._exposition import Record
from c2c_stats._series import Timer
from c2c_stats._sink import BuiltIn
from c2c_stats._store import Place, Store


class PrometheusBackend(BuiltIn):
    """Gives the series their memory in a file that the other processes of the service read."""

    wake: Callable[[], None] | None = None
    tell: Callable[[Any, float], None] | None = None

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.place: Place | None = None

    def start(self) -> None:
        """Open this process's file."""

    def stop(self) -> None:
        """Keep the file: what was counted stays counted."""

    def forked(self) -> None:
        """Forget the parent's file."""
        self.place = None

    def records(self) -> Iterator[Record]:
        """Yield what all processes have recorded."""
        for series in self._store.all():
            one = series.identity
            bounds = series.bounds if isinstance(series, Timer) else ()
            yield Record(one.kind, one.name, one.labels, bounds, tuple(series.cells))
