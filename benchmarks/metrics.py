"""What a metric costs. Run: ``python -m benchmarks metrics``.

In processor time of all threads of the process, so that what a peer leaves to a thread counts too. Ours writes to both
sinks, statsd and Prometheus; each peer to its one. Bars: issue 26.
"""

import threading
import time
from collections.abc import Callable, Iterator

import prometheus_client
from datadog.dogstatsd.base import DogStatsd
from pyramid.config import Configurator

import c2c_stats as stats
from benchmarks._case import Found, Growth, measured, timed
from benchmarks._servers import statsd_reader

_OURS = "c2c-stats, statsd and Prometheus"
_DATADOG = "datadog, buffered and aggregated"
_LABELS = "prometheus-client, .labels(...)"
_BOUND = "prometheus-client, bound child"
_KEY = ["toto", "tutu"]
_TAGS = {"method": "GET", "route": "hello"}
_DOG_TAGS = ["method:GET", "route:hello"]


def cases() -> Iterator[Found]:
    """Count and time."""
    with statsd_reader() as port:
        config = Configurator(settings={"c2c.statsd_address": f"127.0.0.1:{port}"})
        config.include("c2c_stats")
        config.commit()
        dog = DogStatsd(
            host="127.0.0.1", port=port, disable_telemetry=True, disable_buffering=False, disable_aggregation=False
        )
        registry = prometheus_client.CollectorRegistry()
        counter = prometheus_client.Counter("c", "c", list(_TAGS), registry=registry)
        histogram = prometheus_client.Histogram("h", "h", list(_TAGS), registry=registry)
        bound_counter, bound_histogram = counter.labels(**_TAGS), histogram.labels(**_TAGS)
        ours_counter, ours_timer = stats.bound_counter(["bound"], tags=_TAGS), stats.bound_timer(["bound"], tags=_TAGS)
        backend = stats.BACKENDS["statsd"]
        asked: dict[str, dict[str, Callable[[], object]]] = {
            "a counter with two tags": {
                _OURS: lambda: stats.increment_counter(_KEY, tags=_TAGS),
                _DATADOG: lambda: dog.increment("toto.tutu", tags=_DOG_TAGS),
                _LABELS: lambda: counter.labels(**_TAGS).inc(),
            },
            "a duration with two tags": {
                _OURS: lambda: backend.timer(_KEY, 0.0015, _TAGS),
                _DATADOG: lambda: dog.timing("toto.tutu", 1.5, tags=_DOG_TAGS),
                _LABELS: lambda: histogram.labels(**_TAGS).observe(0.0015),
            },
            "a bound counter": {_OURS: ours_counter.inc, _BOUND: bound_counter.inc},
            "a bound timer": {
                _OURS: lambda: ours_timer.observe(0.0015),
                _BOUND: lambda: bound_histogram.observe(0.0015),
            },
        }
        try:
            for title, calls in asked.items():
                takes = {name: timed(call, 2_000, clock=time.process_time) for name, call in calls.items()}
                yield measured(title, "us", takes, 30, most={_DATADOG: 0.8, _BOUND: 0.8})
            points = {count: _of_threads(count) for count in (1, 4, 16, 64)}
            yield Growth("a counter with two tags, of so many threads", "us", points)
        finally:
            dog.stop()
    stats.init_backends({})


def _of_threads(count: int) -> float:
    """Count from so many threads at once; return what each count takes of the process's time."""

    def work() -> None:
        for _ in range(64_000 // count):
            stats.increment_counter(_KEY, tags=_TAGS)

    threads = [threading.Thread(target=work) for _ in range(count)]
    begin = time.process_time()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return (time.process_time() - begin) / 64_000 * 1e6
