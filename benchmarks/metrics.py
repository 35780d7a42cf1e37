"""What a metric costs. Run: ``python -m benchmarks metrics``.

In processor time of all threads of the process, so that what a peer leaves to a thread counts too. Ours writes to both
sinks, statsd and Prometheus; each peer to its one. Bars: issue 26.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import prometheus_client
import statsd  # type: ignore[import-untyped] # it has no types
from datadog.dogstatsd.base import DogStatsd
from pyramid.config import Configurator

import c2c_stats as stats
from benchmarks._case import Case, Growth, alternate, timed
from benchmarks._statsd_reader import statsd_reader
from benchmarks._table import Found, show

_OURS = "c2c-stats, statsd and Prometheus"
_DATADOG = "datadog, buffered and aggregated"
_STATSD = "statsd (no tags, a packet a call)"
_PROMETHEUS = "prometheus-client, .labels(...)"
_BOUND = "prometheus-client, bound child"
_ROUNDS = 30
_KEY = ["toto", "tutu"]
_TAGS = {"method": "GET", "route": "hello"}
_DOG_TAGS = ["method:GET", "route:hello"]

Call = Callable[[], object]


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Found]:
    """Count and time."""
    with statsd_reader() as port:
        config = Configurator(settings={"c2c.statsd_address": f"127.0.0.1:{port}"})
        config.include("c2c_stats")
        config.commit()
        dog = DogStatsd(
            host="127.0.0.1", port=port, disable_telemetry=True, disable_buffering=False, disable_aggregation=False
        )
        try:
            yield from _calls(dog, statsd.StatsClient("127.0.0.1", port))
        finally:
            dog.stop()
    stats.init_backends({})


def _calls(dog: DogStatsd, plain: Any) -> Iterator[Found]:
    registry = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter("c", "c", list(_TAGS), registry=registry)
    histogram = prometheus_client.Histogram("h", "h", list(_TAGS), registry=registry)
    bound_counter, bound_histogram = counter.labels(**_TAGS), histogram.labels(**_TAGS)
    ours_bound, ours_timer = stats.bound_counter(["bound"], tags=_TAGS), stats.bound_timer(["bound"], tags=_TAGS)
    backend = stats.BACKENDS["statsd"]
    yield _case(
        "a counter with two tags",
        {
            _OURS: lambda: stats.increment_counter(_KEY, tags=_TAGS),
            _DATADOG: lambda: dog.increment("toto.tutu", tags=_DOG_TAGS),
            _STATSD: lambda: plain.incr("toto.tutu"),
            _PROMETHEUS: lambda: counter.labels(**_TAGS).inc(),
        },
    )
    yield _threads(lambda: stats.increment_counter(_KEY, tags=_TAGS))
    yield _case(
        "a duration with two tags",
        {
            _OURS: lambda: backend.timer(_KEY, 0.0015, _TAGS),
            _DATADOG: lambda: dog.timing("toto.tutu", 1.5, tags=_DOG_TAGS),
            _STATSD: lambda: plain.timing("toto.tutu", 1.5),
            _PROMETHEUS: lambda: histogram.labels(**_TAGS).observe(0.0015),
        },
    )
    yield _case("a bound counter", {_OURS: ours_bound.inc, _BOUND: bound_counter.inc}, {_BOUND: 0.8})
    yield _case(
        "a bound timer",
        {_OURS: lambda: ours_timer.observe(0.0015), _BOUND: lambda: bound_histogram.observe(0.0015)},
        {_BOUND: 0.8},
    )


def _threads(call: Callable[[], object]) -> Growth:
    """Count from so many threads at once; what each count takes of the process's time."""

    def work(times: int) -> None:
        for _ in range(times):
            call()

    points = []
    for count in (1, 4, 16, 64):
        threads = [threading.Thread(target=work, args=(64_000 // count,)) for _ in range(count)]
        begin = time.process_time()
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        points.append((count, (time.process_time() - begin) / 64_000 * 1e6))
    return Growth("a counter with two tags, of so many threads", "threads", "us", tuple(points))


def _case(name: str, calls: dict[str, Call], bars: dict[str, float] | None = None) -> Case:
    bars = {_DATADOG: 0.8} if bars is None else bars
    takes = {who: timed(call, 2_000, clock=time.process_time) for who, call in calls.items()}
    found = alternate(takes, _ROUNDS)
    ours = found.pop(_OURS)
    return Case(name, "us", ours, tuple(one.bar(most=bars.get(one.name)) for one in found.values()))


if __name__ == "__main__":
    main()
