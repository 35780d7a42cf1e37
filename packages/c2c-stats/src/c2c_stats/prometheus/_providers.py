"""What applications show Prometheus: providers, asked at each scrape, and jobs that push.

The Pushgateway is https://github.com/prometheus/pushgateway, for a job that is too short to be scraped.
"""

import contextlib
import os
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, ProcessCollector, push_to_gateway
from prometheus_client.metrics_core import Metric

from c2c_broadcast.memory_maps import memory_maps
from c2c_broadcast.process import PROC
from c2c_stats._settings import StatsSettings
from c2c_stats.prometheus._exposition import add_sample, new_family, prometheus_label

# What can be told of a mapping, in kB: its share of what several processes map, what is in memory, its length.
FIELDS = ("pss", "rss", "size")
_TYPES = frozenset({"gauge", "counter", "unknown", "untyped"})
# What Kubernetes adds to the name of a Deployment: a hash of its template, and five random characters, both of
# consonants and digits (k8s.io/apimachinery/pkg/util/rand); older ones have hexadecimal hashes.
_POD = re.compile(
    r"\A(?P<service>.+)-(?:[bcdfghjklmnpqrstvwxz2456789]{6,10}|(?=[a-z]*[0-9])[0-9a-z]{6,10})-[0-9a-z]{5}"
)

Data = Iterable[tuple[Mapping[str, Any], float]]


class Provider(ABC):
    """One metric whose values are asked for at each scrape; derive from it and write ``get_data``.

    ``type_`` is gauge, counter or unknown; ``extend`` adds the labels ``pod_name`` and ``service_name``.

    Raises:
        ValueError: The type is none of these, or the name is no Prometheus name.
    """

    def __init__(self, name: str, help_: str, type_: str = "gauge", extend: bool = True) -> None:
        if type_ not in _TYPES:
            raise ValueError(f"Provider {name}: type {type_!r} is none of {', '.join(sorted(_TYPES))}")
        new_family(name, help_, type_)
        self.name = name
        self.help = help_
        self.type = type_
        self.extend = extend

    @abstractmethod
    def get_data(self) -> Data:
        """Return (labels, value) of each series."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metric, as collectors of prometheus_client do."""
        metric = new_family(self.name, self.help, self.type)
        common = pod_labels() if self.extend else {}
        for labels, value in self.get_data():
            add_sample(metric, {**common, **labels}, value)
        # Of labels that became equal the last value stays.
        metric.samples = list({tuple(one.labels.items()): one for one in metric.samples}.values())
        yield metric


class MemoryMapProvider(Provider):
    """What processes' memory is mapped to, in kB: ``pod_process_smap_<type>_kb{pid, name}``.

    ``memory_type`` is pss, rss or size; ``pids`` are ids of processes, or None: all that ``proc`` has and we may read.
    """

    def __init__(self, memory_type: str = "pss", pids: Iterable[str | int] | None = None, proc: Path = PROC) -> None:
        if memory_type not in FIELDS:
            raise ValueError(f"MemoryMapProvider: {memory_type!r} is none of {', '.join(FIELDS)}")
        super().__init__(f"pod_process_smap_{memory_type}_kb", f"Container smap used {memory_type}")
        self._memory_type = memory_type
        self._pids = pids
        self._proc = proc

    def get_data(self) -> Data:
        pids = self._pids
        if pids is None:
            pids = sorted((path.name for path in self._proc.iterdir() if path.name.isdigit()), key=int)
        for pid in pids:
            with contextlib.suppress(OSError):  # it ended, or is another user's
                for name, sizes in memory_maps(pid, self._proc).items():
                    yield {"pid": str(pid), "name": name}, sizes[self._memory_type]


def pod_labels(pod: str | None = None) -> dict[str, str]:
    """Return ``pod_name`` (the host's) and, of a Deployment's pod, ``service_name``: without the generated parts."""
    name = socket.gethostname() if pod is None else pod
    match = _POD.fullmatch(name)
    return {"pod_name": name, "service_name": match["service"]} if match else {"pod_name": name}


def collect_as_six(pids: Iterable[int], prefix: str, settings: StatsSettings) -> Iterator[Metric]:
    """Yield what c2cwsgiutils 6 shows of each of these processes, under its names, and of Python."""
    maps = Metric(f"{prefix}process_smap_pss_bytes", "Memory of a process by mapped file", "gauge", "bytes")
    for labels, kilobytes in MemoryMapProvider(pids=pids).get_data():
        maps.add_sample(maps.name, dict(labels), kilobytes * 1024)
    found = {maps.name: maps}
    for pid in pids:
        versions = Metric(f"{prefix}version", "Versions that a process runs", "gauge")
        versions.add_sample(versions.name, _versions(settings), 1)
        of_process = ProcessCollector(pid=partial(int, pid), registry=None).collect()
        for metric in [versions, *of_process, *(GC_COLLECTOR.collect() if pid == os.getpid() else ())]:
            samples = [one._replace(labels={**one.labels, "pid": str(pid)}) for one in metric.samples]
            metric.samples = []
            found.setdefault(metric.name, metric).samples += samples
    yield from found.values()
    yield from PLATFORM_COLLECTOR.collect()


def _versions(settings: StatsSettings) -> dict[str, str]:
    packages = {prometheus_label(name): name for name in settings.prometheus_packages}
    if settings.prometheus_application_package:
        packages["application"] = settings.prometheus_application_package
    found = {"git_hash": settings.git_hash}
    for label, package in packages.items():
        try:
            found[label] = version(package)
        except PackageNotFoundError:
            found[label] = "<missing>"
    return found


class PushgatewayGroupPublisher:
    """Collect metrics and push them as one group of a Pushgateway: what is pushed replaces the group.

    ``base_url`` is the gateway's, ``job`` and ``instance`` name the group; ``labels`` are put on each metric;
    ``timeout`` is in seconds.
    """

    def __init__(
        self,
        base_url: str,
        job: str,
        instance: str | None = None,
        labels: Mapping[str, Any] | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._base_url = base_url
        self._job = job
        self._group = {} if instance is None else {"instance": instance}
        self._labels = dict(labels or {})
        self._timeout = timeout
        self._metrics: dict[str, Metric] = {}

    def add(
        self,
        name: str,
        value: float,
        metric_type: str = "gauge",
        metric_labels: Mapping[str, Any] | None = None,
        metric_help: str = "",
    ) -> None:
        """Add one value; the first one of a name says what it is, ``metric_help``.

        Raises:
            ValueError: The name or type is not Prometheus's, or the name has another type already.
        """
        new = new_family(name, metric_help or name, metric_type)
        metric = self._metrics.setdefault(name, new)
        if metric.type != new.type:
            raise ValueError(f"Metric {name} is a {metric.type} already, not a {metric_type}")
        add_sample(metric, {**self._labels, **(metric_labels or {})}, value)

    def commit(self) -> None:
        """Push what was added, and begin anew.

        Raises:
            OSError: The gateway can't be reached in time, or refuses; what was added is kept.
        """
        push_to_gateway(self._base_url, job=self._job, registry=self, grouping_key=self._group, timeout=self._timeout)
        self._metrics.clear()

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics.values()
