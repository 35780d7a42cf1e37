"""Prometheus: the Pushgateway of era 3, the port of its own of era 6."""

import logging
import os
import resource
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, cast

from prometheus_client import GC_COLLECTOR, REGISTRY, CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from c2c_broadcast import BroadcastSettings, ConfigurationError, broadcast, load
from c2c_compat._era import called, set_defaults
from c2c_compat._include import including
from c2c_stats import prometheus
from c2c_stats.prometheus import MemoryMapProvider, add_provider, start_http_server
from c2cwsgiutils import broadcast as old_broadcast

PushgatewayGroupPublisher, cleanup = prometheus.PushgatewayGroupPublisher, old_broadcast.cleanup
includeme = including("c2c_stats")

_LOG = logging.getLogger(__name__)
_OF_WORKERS = "c2c_compat_metrics"
_FAMILIES: dict[str, Any] = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}

MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS: list[str] = []
"""Channels whose subscribers answer with what ``serialize_collected_data`` gives: metrics of other processes."""


class SerializedSample(TypedDict):
    """A sample that may be broadcast; its labels have ``pid``."""

    name: str
    labels: dict[str, str]
    value: float


class SerializedMetric(TypedDict):
    """A metric that may be broadcast: ``type`` is gauge or counter; ``args`` name, documentation and unit."""

    type: str
    args: dict[str, Any]
    samples: list[SerializedSample]


def build_metric_name(postfix: str) -> str:
    """Return a metric's name with the prefix of the service: ``C2C_PROMETHEUS_PREFIX``, ``c2cwsgiutils_``."""
    return os.environ.get("C2C_PROMETHEUS_PREFIX", "c2cwsgiutils_") + postfix


def start(registry: CollectorRegistry | None = None) -> None:
    """Serve the metrics of this service's processes on ``C2C_PROMETHEUS_PORT``; nothing where it is unset or empty.

    Called in gunicorn's master. With ``PROMETHEUS_MULTIPROC_DIR`` the application's own metrics are those of all
    workers, else those of this process. A port that is taken is one error line. ``registry`` has more collectors.

    Raises:
        ConfigurationError: The port is no number.
    """
    called(6, "prometheus.start")
    text = os.environ.get("C2C_PROMETHEUS_PORT", "").strip()
    if not text:
        return
    if not (text.isascii() and text.isdigit()) or int(text) > 65_535:  # noqa: PLR2004 # the highest port
        raise ConfigurationError(f"C2C_PROMETHEUS_PORT: {text!r} is not a port")
    settings: dict[str, Any] = {}
    set_defaults(settings)
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        add_provider(cast("Any", MultiProcessCollector)(CollectorRegistry()))
    if registry is not None and registry is not REGISTRY:
        add_provider(registry)
    # The master asks its workers, on this host, and says nothing of broadcasts to what its workers will load.
    own = replace(load(BroadcastSettings, {}), redis_url=None, redis_sentinels=())
    add_provider(MultiProcessCustomCollector(broadcast.Broadcaster(own)))
    if _OF_WORKERS not in MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS:
        MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS.append(_OF_WORKERS)
    try:
        start_http_server(int(text), settings=settings)
    except OSError as error:
        _LOG.error("Metrics are not served: port %s of C2C_PROMETHEUS_PORT: %s", text, error.strerror)  # one line


start_single_process = start


def serialize_collected_data(collector: Any) -> list[SerializedMetric]:
    """Return what a collector gives as data that may be broadcast, each sample with this process's ``pid``."""
    return [
        {
            "type": metric.type,
            "args": {"name": metric.name, "documentation": metric.documentation, "unit": metric.unit},
            "samples": [
                {"name": one.name, "labels": {"pid": str(os.getpid()), **one.labels}, "value": one.value}
                for one in metric.samples
            ],
        }
        for metric in collector.collect()
        if metric.type in _FAMILIES
    ]


def tell_of_worker() -> None:
    """Have this process tell the master what of Python's garbage collector only it knows."""
    broadcast.subscribe(_OF_WORKERS, lambda: serialize_collected_data(GC_COLLECTOR))


class MultiProcessCustomCollector:
    """What subscribers of `MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS` tell within 2 s, and who told nothing."""

    def __init__(self, asker: Any = broadcast) -> None:
        self._asker = asker

    def collect(self) -> Iterator[Metric]:
        """Ask all processes."""
        merged: dict[str, Metric] = {}
        silent: set[tuple[str, str]] = set()
        for channel in MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS:
            answers = self._asker.ask(channel, timeout=2)
            silent |= {(one.hostname, str(one.pid)) for one in (*answers.missing, *answers.late)}
            for told in answers.answers:
                for one in told or ():
                    args = one["args"]
                    if args["name"] not in merged:
                        merged[args["name"]] = _FAMILIES[one["type"]](**args)
                    for sample in one["samples"]:
                        merged[args["name"]].add_sample(sample["name"], sample["labels"], sample["value"])
        yield from merged.values()
        if silent:
            metric = GaugeMetricFamily(
                build_metric_name("silent"), "Processes that told no metrics", labels=["hostname", "pid"]
            )
            for who in silent:
                metric.add_metric(who, 1)
            yield metric


class MemoryMapCollector:
    """What processes' memory is mapped to, in bytes: ``<prefix>process_smap_<type>_bytes{pid, name}``."""

    def __init__(self, memory_type: str = "pss", pids: Iterable[str] | None = None) -> None:
        self._name = build_metric_name(f"process_smap_{memory_type}")
        self._provider = MemoryMapProvider(memory_type, pids)

    def collect(self) -> Iterator[Metric]:
        """Read the maps of the processes."""
        metric = GaugeMetricFamily(self._name, "Memory by mapped file", labels=["pid", "name"], unit="bytes")
        for labels, kilobytes in self._provider.get_data():
            metric.add_metric([labels["pid"], labels["name"]], float(kilobytes) * 1024)
        yield metric


class ResourceCollector:
    """What the system counts of this process: ``<prefix>python_resource{name}``, the fields of ``getrusage``."""

    def collect(self) -> Iterator[Metric]:
        """Ask the system."""
        found = resource.getrusage(resource.RUSAGE_SELF)
        fields = {name[3:]: getattr(found, name) for name in dir(found) if name.startswith("ru_")}
        yield _by_name("python_resource", "Resources of this process", fields)


class MemoryInfoCollector:
    """The memory of this process in bytes: ``<prefix>python_memory_info{name}``, as ``/proc/self/statm`` has it."""

    def collect(self) -> Iterator[Metric]:
        """Read it."""
        pages = map(int, Path("/proc/self/statm").read_text().split())
        names = ("vms", "rss", "shared", "text", "lib", "data", "dirty")
        fields = {name: number * resource.getpagesize() for name, number in zip(names, pages, strict=True)}
        yield _by_name("python_memory_info", "Memory of this process in bytes", fields)


def _by_name(name: str, documentation: str, fields: Mapping[str, float]) -> Metric:
    metric = GaugeMetricFamily(build_metric_name(name), documentation, labels=["name"])
    for field, value in fields.items():
        metric.add_metric([field], value)
    return metric
