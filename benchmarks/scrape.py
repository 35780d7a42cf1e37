"""What a scrape of ``/metrics`` costs. Run: ``python -m benchmarks scrape``.

Services, each a process of its own, are scraped in turn; what counts is processor time. Bars: issue 26.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks._case import Found, Growth, measured
from benchmarks._servers import Asked

_SERIES = (10, 100, 1_000, 10_000)
_PROCESSES = 4
_PEER = "prometheus-client, multiprocess"


def cases() -> Iterator[Found]:
    """Scrape services of many series, of many recycled workers."""
    with contextlib.ExitStack() as stack:

        def scrapes(what: str, count: int) -> Callable[[], float]:
            service = stack.enter_context(contextlib.closing(Asked("benchmarks.scrape", what, count)))
            service.ask()
            return service.ask

        ours = {count: scrapes("series", count) for count in _SERIES}
        takes = {"c2c-stats": ours[_SERIES[-1]], _PEER: scrapes("prometheus", _SERIES[-1])}
        yield measured("a scrape of 10,000 series of 4 processes", "ms", takes, 10, most={_PEER: 0.5})
        points = {count: min(ask() for _ in range(10)) for count, ask in ours.items()}
        yield Growth("a scrape of so many series of 4 processes", "ms", points)
        takes = {f"after {count}": scrapes("recycled", count) for count in (500, 4)}
        yield measured("a scrape after 500 recycled workers", "ms", takes, 100, most={"after 4": 1.5})


# -- in the process that is scraped ------------------------------------------------------------------------------------


def serve(what: str, count: int) -> None:
    """Do what is to be done before, then scrape as often as asked; answer with milliseconds of processor time."""
    scrape, many = (_by_prometheus_client if what == "prometheus" else _by_ours)(count)
    if what == "recycled":
        import c2c_stats as stats

        for _ in range(count):
            _fork(lambda: stats.increment_counter(["recycled"]), stays=False)
    else:
        for _ in range(_PROCESSES):
            _fork(many, stays=True)
    expected = {"recycled": f"c2c_recycled_total {float(count)}", "series": "c2c_many_m0_total{"}.get(what, "many_m0")
    for _ in sys.stdin:
        begin = time.process_time()
        text = scrape()
        taken = time.process_time() - begin
        assert expected in text
        print(taken * 1e3, flush=True)


def _fork(work: Callable[[], object], *, stays: bool) -> None:
    """Do the work in a process of its own, which ends then or stays as long as this one."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        work()
        os.write(writer, b"1")
        parent = os.getppid()
        while stays and os.getppid() == parent:
            time.sleep(1)
        os._exit(0)
    os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    if not stays:
        os.waitpid(child, 0)


def _by_ours(count: int) -> tuple[Callable[[], str], Callable[[], None]]:
    """Return a scrape, and what makes so many series, of names with 500 each at most."""
    from pyramid.config import Configurator
    from pyramid.request import Request

    import c2c_stats as stats

    config = Configurator(settings={"c2c.stats_series": "100000"})
    config.include("c2c_stats")
    application = config.make_wsgi_app()

    def many() -> None:
        for number in range(count):
            stats.increment_counter(["many", f"m{number // 500}"], tags={"number": str(number % 500)})

    return lambda: str(Request.blank("/metrics").get_response(application).text), many


def _by_prometheus_client(count: int) -> tuple[Callable[[], str], Callable[[], None]]:
    """Return the same of prometheus-client; the folder is looked for when it is imported."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()
    import prometheus_client
    from prometheus_client import multiprocess

    counters = [prometheus_client.Counter(f"many_m{number}", "m", ["number"]) for number in range(count // 500 or 1)]

    def many() -> None:
        for number in range(count):
            counters[number // 500 % len(counters)].labels(str(number % 500)).inc()

    def scrape() -> str:
        registry: Any = prometheus_client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # as it has it
        return prometheus_client.generate_latest(registry).decode()

    return scrape, many


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
