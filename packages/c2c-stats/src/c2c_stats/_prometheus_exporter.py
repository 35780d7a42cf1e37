"""The Prometheus backend: its numbers, of all processes of the service on this host."""

import logging
from collections.abc import Iterator

from c2c_broadcast.process import Process, this_process
from c2c_stats._exposition import Record
from c2c_stats._group import Group
from c2c_stats._merging import key_of, record_of
from c2c_stats._notices import later
from c2c_stats._series import Series, Timer
from c2c_stats._sink import BuiltIn
from c2c_stats._store import Store

_LOG = logging.getLogger(__name__)


class PrometheusBackend(BuiltIn):
    """Gives the series their memory in a file that the other processes of the service read."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._group: Group | None = None

    def start(self) -> None:
        """Open this process's file; without one, its numbers are its own."""
        if self._group is None:
            try:
                self._group = Group.join()
            except OSError as error:
                later(_LOG, "Metrics: each process shows Prometheus its own numbers only: %s", error)
            else:
                self.place = self._place

    def forked(self) -> None:
        """Forget the parent's file."""
        self.place = None
        if self._group is not None:
            self._group.close()
            self._group = None

    def close(self) -> None:
        """Take this process's numbers away."""
        self.place = None
        if self._group is not None:
            self._group.leave()
            self._group = None

    def members(self) -> list[Process]:
        """Return the living processes of the service that record, this one at least."""
        found = self._group.members() if self._group is not None else []
        return found or [this_process()]

    def records(self) -> Iterator[Record]:
        """Yield what all processes have recorded."""
        if self._group is not None:
            merged = self._group.read()
        else:
            merged = {key_of(one.identity, _bounds(one)): tuple(one.cells) for one in self._store.all()}
        for key, numbers in merged.items():
            record = record_of(key, numbers)
            if record is not None:
                yield record

    def _place(self, series: Series) -> "memoryview[float] | None":
        assert self._group is not None
        return self._group.place(series.identity, _bounds(series), series.words)


def _bounds(series: Series) -> tuple[float, ...]:
    return series.bounds if isinstance(series, Timer) else ()
