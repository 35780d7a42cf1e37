"""What metrics cost, beside their peers. Run: ``python -m benchmarks.stats``.

All in one process, in time of the processor of all its threads (so that what a peer leaves to a thread counts too);
rounds of all contenders alternate, the best round of each counts. The bars are those of the contract's last table.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import prometheus_client
import statsd  # type: ignore[import-untyped] # it has no types
from cornice import Service
from datadog.dogstatsd.base import DogStatsd
from opentelemetry.instrumentation.pyramid import PyramidInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from pyramid.config import Configurator
from pyramid.request import Request
from sqlalchemy import create_engine, text

import c2c_stats as stats
from benchmarks._statsd_reader import statsd_reader
from c2c_stats._spies import sqlalchemy as spy

Call = Callable[[], object]

_ROUNDS = 40
_STATEMENTS = (20, 2_000)
_TAGS = {"method": "GET", "route": "hello"}
_DOG_TAGS = ["method:GET", "route:hello"]
_KEY = ["toto", "tutu"]


def main() -> None:
    """Print the tables."""
    with statsd_reader() as port:
        _application("c2c_stats", port=port)
        _calls(port)
        _bound()
        _statements()
        _requests(port)
    stats.init_backends({})


def _best(contenders: dict[str, Call], calls: int, rounds: int = _ROUNDS) -> dict[str, float]:
    """Return microseconds a call of each contender's best round."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, call in contenders.items():
            start = time.process_time()
            for _ in range(calls):
                call()
            best[name] = min(best[name], (time.process_time() - start) / calls * 1e6)
    return best


def _table(title: str, best: dict[str, float], compared: str, bar: str) -> None:
    print(f"\n{title} (bar: {bar})")
    for name, value in best.items():
        print(f"  {name:50} {value:8.2f} us {value / best[compared]:7.2f}")


def _over(title: str, best: dict[str, float], base: str, bar: str) -> None:
    print(f"\n{title} (bar: {bar})")
    for name, value in best.items():
        print(f"  {name:50} {value:8.2f} us {value - best[base]:+8.2f} us")


def _calls(port: int) -> None:
    dog = DogStatsd(
        host="127.0.0.1", port=port, disable_telemetry=True, disable_buffering=False, disable_aggregation=False
    )
    plain = statsd.StatsClient("127.0.0.1", port)

    def ours() -> None:
        with stats.timer_context(_KEY, _TAGS):
            pass

    def dogs() -> None:
        with dog.timed("toto.tutu", tags=_DOG_TAGS):
            pass

    def plains() -> None:
        with plain.timer("toto.tutu"):
            pass

    counters: dict[str, Call] = {
        "c2c_stats (statsd and Prometheus)": lambda: stats.increment_counter(_KEY, tags=_TAGS),
        "DogStatsd, buffered and aggregated": lambda: dog.increment("toto.tutu", tags=_DOG_TAGS),
        "statsd (no tags, a packet a call)": lambda: plain.incr("toto.tutu"),
    }
    backend = stats.BACKENDS["statsd"]
    timers: dict[str, Call] = {
        "c2c_stats (statsd and Prometheus)": lambda: backend.timer(_KEY, 0.0015, _TAGS),
        "DogStatsd, buffered": lambda: dog.timing("toto.tutu", 1.5, tags=_DOG_TAGS),
        "statsd (no tags, a packet a call)": lambda: plain.timing("toto.tutu", 1.5),
    }
    blocks: dict[str, Call] = {
        "c2c_stats (statsd and Prometheus)": ours,
        "DogStatsd, buffered": dogs,
        "statsd (no tags, a packet a call)": plains,
    }
    _table("A counter with 2 tags", _best(counters, 5_000), "DogStatsd, buffered and aggregated", "0.8")
    _table("A duration with 2 tags", _best(timers, 3_000), "DogStatsd, buffered", "0.8")
    _table("A timed block with 2 tags", _best(blocks, 3_000), "DogStatsd, buffered", "0.8")
    dog.stop()


def _bound() -> None:
    bound = stats.bound_counter(["bound"], tags=_TAGS)
    timer = stats.bound_timer(["bound"], tags=_TAGS)
    registry = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter("c", "c", ["a"], registry=registry).labels("b")
    histogram = prometheus_client.Histogram("h", "h", ["a"], registry=registry).labels("b")
    contenders: dict[str, Call] = {
        "bound_counter, statsd and Prometheus": bound.inc,
        "bound_timer, statsd and Prometheus": lambda: timer.observe(0.01),
        "prometheus_client, bound counter, one process": counter.inc,
        "prometheus_client, bound histogram, one process": lambda: histogram.observe(0.01),
    }
    name = "prometheus_client, bound counter, one process"
    _table("A bound handle", _best(contenders, 5_000), name, "0.6 us")


def _statements() -> None:
    """Time statements of engines that nothing, we, or OpenTelemetry watch: in turn, because we watch all engines."""
    for times in _STATEMENTS:
        best = dict.fromkeys(("SQLAlchemy (SQLite)", "+ c2c_stats", "+ OpenTelemetry"), float("inf"))
        for _ in range(6):
            for name in best:
                with _watched(name) as run:
                    found = _best({name: run(times)}, 2_000 // times, rounds=6)
                best[name] = min(best[name], found[name] / times)
        _over(f"A SQL statement, of {times}", best, "SQLAlchemy (SQLite)", "8 us")


@contextmanager
def _watched(by: str) -> Iterator[Callable[[int], Call]]:
    statement = text("SELECT 1")
    instrumentor = SQLAlchemyInstrumentor()
    engine = create_engine("sqlite://")
    if by != "+ c2c_stats":
        spy.uninstall()
    if by == "+ OpenTelemetry":
        instrumentor.instrument(engine=engine, tracer_provider=TracerProvider(), skip_dep_check=True)
    try:
        with engine.connect() as connection:

            def run(times: int) -> Call:
                def execute() -> None:
                    for _ in range(times):
                        connection.execute(statement).close()

                return execute

            yield run
    finally:
        if by == "+ OpenTelemetry":
            instrumentor.uninstrument()
        spy.install()


def _application(*includes: str, port: int = 0, telemetry: bool = False) -> Any:
    settings = {"c2c.statsd_address": f"127.0.0.1:{port}"} if port else {}
    if telemetry:
        PyramidInstrumentor().instrument(tracer_provider=TracerProvider())
    config = Configurator(settings=settings)
    for name in ("pyramid_tm", "cornice", *includes):
        config.include(name)
    service = Service("hello", "/hello")
    service.add_view("GET", lambda request: {"hello": "world"}, renderer="json")  # noqa: ARG005 # Pyramid's
    config.add_cornice_service(service)
    application = config.make_wsgi_app()
    if telemetry:
        PyramidInstrumentor().uninstrument()
    return application


def _requests(port: int) -> None:
    """Time requests, in rounds of the contenders in turn: medians, and the medians of the rounds' differences."""

    def asks(asked: Any) -> Call:
        environ = Request.blank("/hello").environ

        def ask() -> None:
            body = asked(dict(environ), lambda *_: None)
            for _ in body:
                pass

        return ask

    base = "Pyramid, pyramid_tm, cornice"
    light = "+ c2c_broadcast"
    contenders = {
        base: asks(_application()),
        light: asks(_application("c2c_broadcast")),
        "+ c2c_stats (statsd, Prometheus, Server-Timing)": asks(_application("c2c_stats", port=port)),
        "base + OpenTelemetry": asks(_application(telemetry=True)),
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(200):
        for name, ask in contenders.items():
            start = time.process_time()
            for _ in range(50):
                ask()
            taken[name].append((time.process_time() - start) / 50 * 1e6)
    print("\nA request (bar: c2c_stats 8 us where the base takes 75: a ratio of 1.107)")
    for name, values in taken.items():
        middle = statistics.median(values)
        over = [statistics.median(a - b for a, b in zip(values, taken[one], strict=True)) for one in (base, light)]
        ratio = statistics.median(a / b for a, b in zip(values, taken[base], strict=True))
        print(f"  {name:50} {middle:8.2f} us {over[0]:+8.2f} (over the second: {over[1]:+.2f}) {ratio:7.3f}")


if __name__ == "__main__":
    main()
