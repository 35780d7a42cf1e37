"""From recorded numbers to prometheus_client's metric families, which it writes as text.

Names follow the Prometheus data model (``[a-zA-Z_:][a-zA-Z0-9_:]*``, labels ``[a-zA-Z_][a-zA-Z0-9_]*``). Keys of users
have any characters, so that two of them may become one name. Such counters and timers are added up, gauges are told
apart by a number behind the name; and no family has a name that another one derives (``_total``, ``_count``, ...).
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from prometheus_client.metrics_core import Metric

from c2c_stats._series import Kind, Pairs
from c2c_stats._settings import DEFAULT_PREFIX, SIX

_NOT_NAME = re.compile(r"[^a-zA-Z0-9_]")
# What the type of a family derives from its name (OpenMetrics 1.0, "MetricFamily name").
_DERIVED = {
    "counter": ("", "_total", "_created"),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
    "gaugehistogram": ("", "_bucket", "_gcount", "_gsum"),
    "info": ("", "_info"),
}
_ORDER = {"timer": 0, "counter": 1, "gauge": 2}
_HELP = {
    ("route",): "Seconds from the arrival of a request to the last byte of its answer",
    ("render",): "Seconds that the renderer of a view took",
    ("sql",): "Seconds that the database took for a statement, or a commit",
    ("requests",): "Seconds until an outgoing HTTP request had the headers of its answer; status 999: it got none",
    ("redis",): "Seconds that a Redis command took, or a pipeline",
    ("statsd", "sent"): "Values that were handed to the network for statsd, and not refused",
    ("statsd", "dropped"): "Values for statsd that were given up: it was away, or could not keep up",
    ("provider", "errors"): "Scrapes in which a provider of metrics failed, and was left out",
    ("health_check",): "Runs of a health check by outcome",
    ("health_check_state",): "Whether a health check passes (1), is degraded (0.5) or fails (0)",
    ("sql", "manual", "health_check", "db"): "Seconds that a health check of a database took",
    ("version",): "Processes that were seen to run a version",
    ("alembic_version",): "Whether the database is at this version (1), or was before (0)",
    ("db", "decision"): "Sessions by the engine that they got, and why",
    ("db", "state"): "Changes of a replica's state",
    ("db", "lag"): "Seconds by which a replica is behind its primary",
}
_KIND_HELP = {"timer": "Seconds of {}", "counter": "Number of {}", "gauge": "Last value of {}"}


class Record(NamedTuple):
    """The numbers of one series, of one process or of several: ``values`` are laid out as the series' cells.

    ``bounds`` are those of a timer's buckets, empty for other kinds.
    """

    kind: Kind
    name: tuple[str, ...]
    labels: Pairs
    bounds: tuple[float, ...]
    values: tuple[float, ...]


@lru_cache(4096)
def prometheus_name(parts: tuple[str, ...], prefix: str) -> str:
    """Return the name of a metric: the parts of its key joined by underscores, after the prefix."""
    name = prefix + "_".join(_NOT_NAME.sub("_", part) for part in parts)
    return name if not name[:1].isdigit() else f"_{name}"


@lru_cache(4096)
def prometheus_label(name: str) -> str:
    """Return the name of a label; two leading underscores are Prometheus's own, a leading digit is not allowed."""
    label = _NOT_NAME.sub("_", name)
    if label.startswith("__"):
        label = "_" + label.lstrip("_")
    if not label or label[0].isdigit():
        label = f"_{label}"
    # "le" and "quantile" are a histogram's and a summary's own.
    return f"{label}_" if label in {"le", "quantile"} else label


@lru_cache(16_384)
def prometheus_labels(pairs: Pairs) -> Pairs:
    """Return labels with the names that Prometheus allows; where two become one, the later one gets a number."""
    found: dict[str, str] = {}
    for name, value in pairs:
        label = free = prometheus_label(name)
        number = 1
        while free in found:
            number += 1
            free = f"{label}_{number}"
        found[free] = value.encode("utf-8", "replace").decode()
    return tuple(found.items())


def new_family(name: str, help_: str, kind: str) -> Metric:
    """Return a family without samples; ValueError where the name or type is not Prometheus's."""
    return Metric(name.removesuffix("_total") if kind == "counter" else name, help_, kind)


def add_sample(metric: Metric, labels: Mapping[str, Any], value: float) -> None:
    """Add a value with labels of any names; those without a value (None) are left out."""
    pairs = prometheus_labels(tuple((str(name), str(text)) for name, text in labels.items() if text is not None))
    metric.add_sample(f"{metric.name}_total" if metric.type == "counter" else metric.name, dict(pairs), float(value))


class Names:
    """The names of one scrape: whose they are, those that a family derives from its own too."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, name: str, kind: str, own: str, unit: str = "") -> str:
        """Take a name, else one that ``own`` and a number tell apart, and return it; ``unit`` stays its end."""
        stem, free, number = name.removesuffix(unit), name, 1
        while self._taken & (derived := {free + ending for ending in _DERIVED.get(kind, ("",))}):
            free = f"{stem}_{own}{number if number > 1 else ''}{unit}"
            number += 1
        self._taken |= derived
        return free


_Shown = tuple[float, dict[float, float]]  # the value, or sum in seconds; of a timer, the count up to each bound
_Names = dict[str, str | None]
_METHOD_STATUS: _Names = {"method": "http_request_method", "status": "http_response_status_code", "group": None}
# Set of names -> key of ours -> name of the metric, label of ours -> its name (None: left out), labels of one value.
# OpenTelemetry's are those of its semantic conventions, 1.30 and later, as its Prometheus exporter writes them.
_SETS: dict[str, dict[tuple[str, ...], tuple[str, _Names, Pairs]]] = {
    "opentelemetry": {
        ("route",): ("http_server_request_duration", {**_METHOD_STATUS, "route": "http_route"}, ()),
        ("requests",): (
            "http_client_request_duration",
            {**_METHOD_STATUS, "host": "server_address", "port": "server_port", "scheme": "url_scheme"},
            (),
        ),
        ("sql",): (
            "db_client_operation_duration",
            {"query": "db_query_summary"},
            (("db_operation_name", ""), ("db_system_name", "other_sql")),
        ),
        ("redis",): (
            "db_client_operation_duration",
            {"cmd": "db_operation_name", "success": None},
            (("db_query_summary", ""), ("db_system_name", "redis")),
        ),
    },
    SIX: {
        ("route",): ("pyramid_routes", {}, ()),
        ("render",): ("pyramid_render", {}, ()),
        ("sql",): ("database", {"query": "what"}, ()),
        ("requests",): ("requests", {"host": "hostname"}, ()),
        ("redis",): ("redis", {"cmd": "command", "success": None}, ()),
        ("sql", "manual", "health_check", "db"): (
            "health_check_db",
            {"name": "connection"},
            (("check", "database"), ("configuration", "<default>")),
        ),
        ("sql", "manual", "health_check", "alembic"): (
            "health_check_db",
            {"name": "configuration"},
            (("check", "alembic"), ("connection", "<default>")),
        ),
        ("health_check_state",): ("health_check_failure", {}, ()),
        ("alembic_version",): ("alembic_version", {}, (("configuration", "<default>"),)),
    },
}


def _renamed(record: Record, name_set: str, prefix: str) -> tuple[str, Pairs]:
    """Return the name of a record's family, its unit not included, and its labels, as a set of names has them."""
    found = _SETS.get(name_set, {}).get(record.name)
    if found is None:
        return prometheus_name(record.name, prefix), prometheus_labels(record.labels)
    name, labels, more = found
    pairs = {label: value for label, value in record.labels if labels.get(label, label)}
    if name_set == SIX:
        name = prefix_of_six(prefix) + name
        if "status" in pairs:
            pairs["group"] = f"{pairs['status'][:1]}00"
    renamed = [(labels.get(label) or label, value) for label, value in pairs.items()]
    return name, prometheus_labels(tuple(sorted([*renamed, *more])))


def prefix_of_six(prefix: str) -> str:
    """Return the prefix of the metrics that c2cwsgiutils 6 has: its own where none is set."""
    return "c2cwsgiutils_" if prefix == DEFAULT_PREFIX else prefix


def families(records: Iterable[Record], prefix: str, names: Names, name_set: str = "c2c") -> Iterator[Metric]:
    """Yield one metric family a name: timers as histograms in seconds, ``..._seconds``; without buckets, summaries."""
    groups: dict[tuple[Kind, str], tuple[tuple[str, ...], dict[Pairs, _Shown]]] = {}
    for record in sorted(records, key=lambda one: (_ORDER[one.kind], one.name, one.labels)):
        name, labels = _renamed(record, name_set, prefix)
        if record.kind == "counter":
            name = name.removesuffix("_total")
        value, counts = record.values[0], {}
        _, series = groups.setdefault((record.kind, name), (record.name, {}))
        if record.kind == "gauge":
            free, number = name, 1
            while labels in series:
                number += 1
                free = f"{name}_{number}"
                _, series = groups.setdefault((record.kind, free), (record.name, {}))
            if name_set == SIX and record.name == ("health_check_state",):
                value = float(not value)  # 1: it fails
        elif record.kind == "timer":
            counts = dict(zip((*record.bounds, math.inf), accumulate(record.values[1:]), strict=True))
        if labels in series:
            # Of histograms with different buckets, as a reload leaves them, those that both have.
            known, others = series[labels]
            value += known
            counts = {bound: count + others[bound] for bound, count in counts.items() if bound in others}
        series[labels] = value, counts
    for (kind, name), (key, series) in groups.items():
        text = _HELP.get(key) or _KIND_HELP[kind].format(".".join(key))
        yield _family(kind, name, text, series, names)


def _family(kind: str, name: str, text: str, series: Mapping[Pairs, _Shown], names: Names) -> Metric:
    if kind != "timer":
        free = names.take(name, kind, kind)
        metric = Metric(free, text, kind)
        for labels, (value, _) in series.items():
            metric.add_sample(f"{free}_total" if kind == "counter" else free, dict(labels), value)
        return metric
    of = "histogram" if any(len(counts) > 1 for _, counts in series.values()) else "summary"
    free = names.take(f"{name}_seconds", of, kind, "_seconds")
    metric = Metric(free, text, of, "seconds")
    for labels, (seconds, counts) in series.items():
        for bound, count in counts.items() if of == "histogram" else ():
            le = "+Inf" if bound == math.inf else str(bound)
            metric.add_sample(f"{free}_bucket", {**dict(labels), "le": le}, count)
        metric.add_sample(f"{free}_count", dict(labels), counts[math.inf])
        metric.add_sample(f"{free}_sum", dict(labels), seconds)
    return metric
