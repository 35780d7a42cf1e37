"""What a scrape of ``/metrics`` costs. Run: ``python -m benchmarks scrape``.

After 4 and after 500 recycled workers: two services, each a process of its own, are scraped in turn; what counts is
processor time. Bars: 1.5; detailed memory maps of 4 processes in 12 ms where the kernel alone takes 2.6.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks._case import Case, Growth, Measured, alternate, timed
from benchmarks._table import Found, show

_RECYCLED = (4, 500)
_SERIES = (10, 100, 1_000, 10_000)
_PROCESSES = 4
_MOST_RECYCLED = 1.5
# 12 ms where the kernel takes 2.6.
_MOST_OF_KERNEL = 4.6
_ROUNDS = 100
_MAPPED = "import pyramid.config, sqlalchemy, prometheus_client, time; print(1, flush=True); time.sleep(600)"


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Found]:
    """Scrape services of many series, of many recycled workers; maps."""
    one, other = (_scrapes(f"{who} {_SERIES[-1]}") for who in ("series", "prometheus"))
    found = alternate({"c2c-stats": one.ask, "prometheus-client, multiprocess": other.ask}, 10)
    one.close()
    other.close()
    peer = found["prometheus-client, multiprocess"].bar(most=0.5)
    yield Case("a scrape of 10,000 series of 4 processes", "ms", found["c2c-stats"], (peer,))
    points = []
    for count in _SERIES:
        service = _scrapes(f"series {count}")
        points.append((count, min(service.ask() for _ in range(10))))
        service.close()
    yield Growth("a scrape of so many series of 4 processes", "series", "ms", tuple(points))
    few, many = _recycled()
    yield Case("a scrape after 500 recycled workers", "ms", many, (few.bar(most=_MOST_RECYCLED),))
    kernel, ours = _maps()
    yield Case("detailed memory maps of 4 processes", "ms", ours, (kernel.bar(most=_MOST_OF_KERNEL),))


def _recycled() -> tuple[Measured, Measured]:
    """Return what a scrape of services takes that have recycled few and many workers."""
    services = {f"after {workers}": _scrapes(f"recycled {workers}") for workers in reversed(_RECYCLED)}
    found = alternate({name: service.ask for name, service in services.items()}, _ROUNDS)
    for service in services.values():
        service.close()
    many, few = found.values()
    return few, many


def _maps() -> tuple[Measured, Measured]:
    """Return what the kernel takes for the maps of four processes, and what the provider takes."""
    import prometheus_client

    from c2c_stats.prometheus import MemoryMapProvider

    children = [subprocess.Popen([sys.executable, "-c", _MAPPED], stdout=subprocess.PIPE) for _ in range(4)]
    try:
        for child in children:
            assert child.stdout
            child.stdout.readline()
        paths = [Path(f"/proc/{child.pid}/smaps") for child in children]
        provider: Any = MemoryMapProvider(pids=[child.pid for child in children])
        contenders = {
            "the kernel alone": timed(lambda: [path.read_bytes() for path in paths], 1, 1e3, time.process_time),
            "c2c-stats": timed(lambda: prometheus_client.generate_latest(provider), 1, 1e3, time.process_time),
        }
        kernel, ours = alternate(contenders, _ROUNDS).values()
    finally:
        for child in children:
            child.kill()
            child.communicate()
    return kernel, ours


class _scrapes:  # noqa: N801 # used as a function
    """A process that scrapes a service whenever it is asked to; ``what`` is what the service did before."""

    def __init__(self, what: str) -> None:
        command = [sys.executable, "-m", "benchmarks.scrape", *what.split()]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        self.ask()

    def ask(self) -> float:
        """Return the milliseconds of processor time that a scrape takes."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("scrape\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


# -- in the process that is scraped ------------------------------------------------------------------------------------


def serve(what: str, count: int) -> None:
    """Do what is to be done before, then scrape as often as asked."""
    if what == "prometheus":
        scrape, expected = _by_prometheus_client(count), ""
    else:
        application = _application()
        record = _recycled_worker(application) if what == "recycled" else _counters(count)
        for _ in range(count if what == "recycled" else _PROCESSES):
            _fork(record, stays=what != "recycled")
        expected = f"c2c_recycled_total {float(count)}" if what == "recycled" else "c2c_many_m0_total{"

        def scrape() -> str:
            from pyramid.request import Request

            return str(Request.blank("/metrics").get_response(application).text)

    for _ in sys.stdin:
        begin = time.process_time()
        text = scrape()
        taken = time.process_time() - begin
        assert expected in text
        print(taken * 1e3, flush=True)


def _fork(record: Callable[[], object], *, stays: bool) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        record()
        os.write(writer, b"1")
        if stays:
            parent = os.getppid()
            while os.getppid() == parent:
                time.sleep(1)
        os._exit(0)
    os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    if not stays:
        os.waitpid(child, 0)


def _application() -> Any:
    from pyramid.config import Configurator

    config = Configurator(settings={"c2c.stats_series": "100000"})
    config.include("c2c_stats")
    config.add_route("hello", "/hello")
    config.add_view(lambda _request: {}, route_name="hello", renderer="json")
    return config.make_wsgi_app()


def _recycled_worker(application: Any) -> Callable[[], None]:
    def work() -> None:
        from pyramid.request import Request

        import c2c_stats as stats

        stats.increment_counter(["recycled"])
        Request.blank("/hello").get_response(application)

    return work


def _counters(count: int) -> Callable[[], None]:
    """Return what makes so many series, of names with 500 each at most."""

    def work() -> None:
        import c2c_stats as stats

        for number in range(count):
            stats.increment_counter(["many", f"m{number // 500}"], tags={"number": str(number % 500)})

    return work


def _by_prometheus_client(count: int) -> Callable[[], str]:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()
    import prometheus_client
    from prometheus_client import multiprocess

    counters = [prometheus_client.Counter(f"many_m{number}", "m", ["number"]) for number in range(count // 500 or 1)]

    def work() -> None:
        for number in range(count):
            counters[number // 500 % len(counters)].labels(str(number % 500)).inc()

    for _ in range(_PROCESSES):
        _fork(work, stays=True)

    def scrape() -> str:
        registry = prometheus_client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # as it has it
        return prometheus_client.generate_latest(registry).decode()

    return scrape


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(sys.argv[1], int(sys.argv[2]))
    else:
        main()
