"""What metrics cost, beside their peers. Run: ``python -m benchmarks.stats``.

All in one process, in time of the processor of all its threads (so that what a peer leaves to a thread counts too);
rounds of all contenders alternate, the best round of each counts. The bars are those of the contract's last table.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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
from c2c_stats import _sqlalchemy
from c2c_stats.prometheus import MemoryMapProvider

Call = Callable[[], object]

_ROUNDS = 40
_STATEMENTS = (20, 2_000)
_TAGS = {"method": "GET", "route": "hello"}
_DOG_TAGS = ["method:GET", "route:hello"]
_KEY = ["toto", "tutu"]


def main() -> None:
    """Print the tables."""
    with _reader() as port:
        application = _application("c2c_stats", port=port)
        _calls(port)
        _bound()
        _statements()
        _requests(application)
        _scrapes(application)
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


@contextmanager
def _reader() -> Iterator[int]:
    """Give the port of a statsd server that reads and forgets, in a process of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        program = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1]))\nwhile True: s.recv(65536)"
        child = subprocess.Popen([sys.executable, "-c", program, str(server.fileno())], pass_fds=[server.fileno()])
        try:
            yield server.getsockname()[1]
        finally:
            child.kill()
            child.wait()


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
        _sqlalchemy.uninstall()
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
        _sqlalchemy.install()


def _application(*includes: str, port: int = 0, telemetry: bool = False) -> Any:
    settings = {"c2c.statsd_address": f"127.0.0.1:{port}"} if port else {}
    if telemetry:
        PyramidInstrumentor().instrument(tracer_provider=TracerProvider())
    config = Configurator(settings=settings)
    for name in ("c2c_broadcast", "pyramid_tm", "cornice", *includes):
        config.include(name)
    service = Service("hello", "/hello")
    service.add_view("GET", lambda request: {"hello": "world"}, renderer="json")  # noqa: ARG005 # Pyramid's
    config.add_cornice_service(service)
    application = config.make_wsgi_app()
    if telemetry:
        PyramidInstrumentor().uninstrument()
    return application


def _requests(application: Any) -> None:
    def asks(asked: Any) -> Call:
        environ = Request.blank("/hello").environ

        def ask() -> None:
            body = asked(dict(environ), lambda *_: None)
            for _ in body:
                pass

        return ask

    base = "Pyramid, pyramid_tm, cornice"
    contenders = {
        base: asks(_application()),
        "+ c2c_stats (statsd, Prometheus, Server-Timing)": asks(application),
        "+ OpenTelemetry": asks(_application(telemetry=True)),
    }
    _over("A request", _best(contenders, 50, rounds=200), base, "8 us")


def _scrapes(application: Any) -> None:
    program = "import pyramid.config, sqlalchemy, prometheus_client, time; print(1, flush=True); time.sleep(600)"
    children = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(4)]
    try:
        for child in children:
            assert child.stdout
            child.stdout.readline()
        pids = [child.pid for child in children]
        size = sum(len(Path(f"/proc/{pid}/smaps").read_bytes()) for pid in pids) // 1000
        provider = MemoryMapProvider(pids=pids)

        def kernel() -> None:
            for pid in pids:
                Path(f"/proc/{pid}/smaps").read_bytes()

        contenders: dict[str, Call] = {
            "the kernel alone (floor)": kernel,
            "MemoryMapProvider": lambda: prometheus_client.generate_latest(provider),
        }
        best = {name: value / 1000 for name, value in _best(contenders, 2).items()}
        print(f"\nDetailed maps of 4 processes, {size} kB (bar: 12 ms where the kernel takes 2.6)")
        for name, value in best.items():
            print(f"  {name:50} {value:8.2f} ms")
    finally:
        for child in children:
            child.kill()
            child.wait()
    print("\nA scrape after workers were recycled (bar: 1.5)")
    few = _after_recycling(application, 4)
    many = _after_recycling(application, 500)
    print(f"  {'after 4':50} {few:8.2f} ms {1:7.2f}\n  {'after 500':50} {many:8.2f} ms {many / few:7.2f}")


def _after_recycling(application: Any, workers: int) -> float:
    for _ in range(workers):
        child = os.fork()
        if not child:
            stats.increment_counter(["recycled"])
            Request.blank("/hello").get_response(application)
            os._exit(0)
        os.waitpid(child, 0)
    best = _best({"scrape": lambda: Request.blank("/metrics").get_response(application)}, 2)
    return best["scrape"] / 1000


if __name__ == "__main__":
    main()
