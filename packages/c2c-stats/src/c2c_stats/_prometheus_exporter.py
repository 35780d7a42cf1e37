"""The Prometheus backend: its numbers, of all processes of the service on this host."""

from collections.abc import Iterator

from c2c_stats._exposition import Record
from c2c_stats._series import Timer
from c2c_stats._sink import BuiltIn


class PrometheusBackend(BuiltIn):
    """Gives the series their memory in a file that the other processes of the service read."""

    def start(self) -> None:
        """Open this process's file."""

    def forked(self) -> None:
        """Forget the parent's file."""
        self.place = None

    def records(self) -> Iterator[Record]:
        """Yield what all processes have recorded."""
        for series in self._store.all():
            one = series.identity
            bounds = series.bounds if isinstance(series, Timer) else ()
            yield Record(one.kind, one.name, one.labels, bounds, tuple(series.cells))
