"""Push metrics of a job that is too short to be scraped: https://github.com/prometheus/pushgateway."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import push_to_gateway
from prometheus_client.metrics_core import Metric

from c2c_stats.prometheus._exposition import add_sample, new_family

_TIMEOUT = 30.0


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
        timeout: float = _TIMEOUT,
    ) -> None:
        self._base_url = base_url
        self._job = job
        self._group = {} if instance is None else {"instance": instance}
        self._labels = dict(labels or {})
        self._timeout = timeout
        self._metrics: dict[str, Metric] = {}
        self._types: dict[str, str] = {}

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
        metric = self._metrics.get(name)
        if metric is None:
            metric = self._metrics[name] = new_family(name, metric_help or name, metric_type)
            self._types[name] = metric_type  # Metric changes untyped to unknown
        elif self._types[name] != metric_type:
            raise ValueError(f"Metric {name} is a {self._types[name]} already, not a {metric_type}")
        add_sample(metric, {**self._labels, **(metric_labels or {})}, value)

    def commit(self) -> None:
        """Push what was added, and begin anew.

        Raises:
            OSError: The gateway can't be reached in time, or refuses; what was added is kept.
        """
        push_to_gateway(self._base_url, job=self._job, registry=self, grouping_key=self._group, timeout=self._timeout)
        self._metrics.clear()

    def collect(self) -> Iterator[Metric]:
        """Yield what was added, as prometheus_client asks a registry."""
        yield from self._metrics.values()
