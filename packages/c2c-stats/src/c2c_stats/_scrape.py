"""What one scrape shows: our own metrics, those of providers, and those of prometheus_client's registry."""

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Protocol

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, REGISTRY
from prometheus_client.metrics_core import Metric

from c2c_stats._exposition import Names, families
from c2c_stats._provider import MemoryMapProvider
from c2c_stats._sink import SINK

_LOG = logging.getLogger(__name__)

Encode = Callable[[Any], bytes]


class Collector(Protocol):
    """What prometheus_client calls a collector; our providers are such, too."""

    def collect(self) -> Iterable[Metric]:
        """Yield metric families."""


PROVIDERS: list[Collector] = []
"""Those that were added to this process."""


class Scrape:
    """One scrape, in the place of a prometheus_client registry. ``encode`` is what will write it as text."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def collect(self) -> Iterator[Metric]:
        """Yield families of different names; what can't be had is left out, logged and counted."""
        # A worker may be asked before it recorded anything: it has to know the others' numbers.
        SINK.start()
        found: dict[str, Metric] = {}
        names = Names()
        for collector in [MemoryMapProvider(pids=_members), *PROVIDERS, _Registered()]:
            for metric in self._of(collector):
                _add(found, metric, names)
        yield from found.values()
        backend = SINK.exporter("prometheus")
        if backend is not None:
            yield from families(backend.records(), SINK.settings.prometheus_prefix, names)

    def _of(self, collector: Collector) -> list[Metric]:
        try:
            metrics = list(collector.collect())
            # Written alone first: one label that can't be written must not cost the whole scrape.
            if not isinstance(collector, MemoryMapProvider):
                self._encode(_Only(metrics))
        except Exception:  # noqa: BLE001 # anybody's code
            name = str(getattr(collector, "name", type(collector).__name__))
            _LOG.warning("Metrics of %s are left out of this scrape", name, exc_info=True)
            SINK.store.counter(("provider", "errors"), {"provider": name}).inc()
            return []
        return metrics


class _Only:
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


class _Registered:
    """What applications registered with prometheus_client; not its own numbers of whichever process is scraped."""

    name = "prometheus_client.REGISTRY"

    def collect(self) -> Iterator[Metric]:
        own = _names_of_its_own()
        for metric in REGISTRY.collect():
            if metric.name not in own:
                yield metric


@lru_cache(1)
def _names_of_its_own() -> frozenset[str]:
    return frozenset(
        metric.name for one in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR) for metric in one.collect()
    )


def _members() -> list[int]:
    backend = SINK.exporter("prometheus")
    return [] if backend is None else [process.pid for process in backend.members()]


def _add(found: dict[str, Metric], metric: Metric, names: Names) -> None:
    """Add a family; to one of the same name and type, the series that it does not have yet."""
    known = found.get(metric.name)
    if known is not None and known.type == metric.type:
        have = {(sample.name, tuple(sorted(sample.labels.items()))) for sample in known.samples}
        known.samples.extend(
            sample for sample in metric.samples if (sample.name, tuple(sorted(sample.labels.items()))) not in have
        )
        return
    # Two collectors that do not know each other: the later one's metric gets another name.
    name = names.take_like(metric.name, metric.type, metric.type, f"_{metric.unit}" if metric.unit else "")
    if name != metric.name:
        renamed = Metric(name, metric.documentation, metric.type, metric.unit)
        end = len(metric.name)
        renamed.samples = [sample._replace(name=name + sample.name[end:]) for sample in metric.samples]
        metric = renamed
    found[name] = metric
