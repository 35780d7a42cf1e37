"""From recorded numbers to prometheus_client's metric families, which it writes as text."""

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from c2c_stats._identity import Kind, Pairs
from c2c_stats._names import prometheus_label, prometheus_name

_SUFFIXES: dict[Kind, str] = {"timer": "_seconds", "counter": "", "gauge": ""}


@dataclass(frozen=True, slots=True)
class Record:
    """The numbers of one series, of one process or of several: ``values`` are laid out as the series' cells.

    ``bounds`` are those of a timer's buckets, empty for other kinds.
    """

    kind: Kind
    name: tuple[str, ...]
    labels: Pairs
    bounds: tuple[float, ...]
    values: tuple[float, ...]


def families(records: Iterable[Record], prefix: str) -> Iterator[Metric]:
    """Yield one metric family a name: timers as histograms in seconds, ``..._seconds``.

    Where a counter and a gauge share a name, the gauge is called ``..._gauge``.
    """
    found: dict[str, Metric] = {}
    taken: dict[str, Kind] = {}
    for record in _joined(sorted(records, key=lambda one: (one.kind != "timer", one.kind, one.name, one.labels))):
        name = prometheus_name(record.name, prefix) + _SUFFIXES[record.kind]
        if record.kind == "counter":
            name = name.removesuffix("_total")
        if taken.setdefault(name, record.kind) != record.kind:
            name = f"{name}_{record.kind}"
        labels = {prometheus_label(label): value for label, value in record.labels}
        family = found.get(name)
        if family is None:
            family = found[name] = _family(record, name)
        _add(family, record, labels)
    yield from found.values()


def _joined(records: list[Record]) -> Iterator[Record]:
    """Make one of histograms of one series with different buckets, as a reload with other settings leaves them."""
    for _, group in itertools.groupby(records, key=lambda one: (one.kind, one.name, one.labels)):
        first, *others = group
        for other in others:
            common = tuple(bound for bound in first.bounds if bound in other.bounds)
            counts = map(sum, zip(_counts(first, common), _counts(other, common), strict=True))
            first = replace(first, bounds=common, values=(first.values[0] + other.values[0], *counts))  # it grows
        yield first


def _counts(record: Record, bounds: tuple[float, ...]) -> list[float]:
    """Return a histogram's counts in coarser buckets."""
    counts = [0.0] * (len(bounds) + 1)
    for bound, count in zip((*record.bounds, math.inf), record.values[1:], strict=True):
        counts[bisect_left(bounds, bound)] += count
    return counts


def _family(record: Record, name: str) -> Metric:
    words = ".".join(record.name)
    if record.kind == "timer":
        return HistogramMetricFamily(name, f"Duration of {words}", unit="seconds")
    if record.kind == "counter":
        return CounterMetricFamily(name, f"Number of {words}")
    return GaugeMetricFamily(name, f"Last value of {words}")


def _add(family: Metric, record: Record, labels: dict[str, str]) -> None:
    name = family.name
    if record.kind == "gauge":
        family.add_sample(name, labels, record.values[0])
    elif record.kind == "counter":
        family.add_sample(f"{name}_total", labels, record.values[0])
    else:
        total = 0.0
        for bound, count in zip((*record.bounds, math.inf), record.values[1:], strict=True):
            total += count
            family.add_sample(f"{name}_bucket", {**labels, "le": "+Inf" if bound == math.inf else str(bound)}, total)
        family.add_sample(f"{name}_count", labels, total)
        family.add_sample(f"{name}_sum", labels, record.values[0])
