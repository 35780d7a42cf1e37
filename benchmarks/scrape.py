"""What a scrape of ``/metrics`` costs. Run: ``python -m benchmarks scrape``.

After 4 and after 500 recycled workers: two services, each a process of its own, are scraped in turn; what counts is
processor time. Bars: 1.5; detailed memory maps of 4 processes in 12 ms where the kernel alone takes 2.6.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._case import Case, Measured, alternate, timed
from benchmarks._table import show

_RECYCLED = (4, 500)
_MOST_RECYCLED = 1.5
# 12 ms where the kernel takes 2.6.
_MOST_OF_KERNEL = 4.6
_ROUNDS = 100
_MAPPED = "import pyramid.config, sqlalchemy, prometheus_client, time; print(1, flush=True); time.sleep(600)"


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Case]:
    """Scrape."""
    few, many = _recycled()
    yield Case("a scrape after 500 recycled workers", "ms", many, (few.bar(most=_MOST_RECYCLED),))
    kernel, ours = _maps()
    yield Case("detailed memory maps of 4 processes", "ms", ours, (kernel.bar(most=_MOST_OF_KERNEL),))


def _recycled() -> tuple[Measured, Measured]:
    """Return what a scrape of services takes that have recycled few and many workers."""
    services = {f"after {workers}": _service(workers) for workers in _RECYCLED}
    try:
        found = alternate({name: partial(_ask, service) for name, service in services.items()}, _ROUNDS)
    finally:
        for service in services.values():
            service.communicate()
    few, many = found.values()
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


def _service(workers: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.scrape", str(workers)]
    service = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    _ask(service)
    return service


def _ask(service: "subprocess.Popen[str]") -> float:
    assert service.stdin
    assert service.stdout
    service.stdin.write("scrape\n")
    service.stdin.flush()
    return float(service.stdout.readline())


def serve(workers: int) -> None:
    """Recycle so many workers, each of which answered a request; then scrape as often as asked."""
    from pyramid.config import Configurator
    from pyramid.request import Request

    import c2c_stats as stats

    config = Configurator()
    config.include("c2c_stats")
    config.add_route("hello", "/hello")
    config.add_view(lambda _request: {}, route_name="hello", renderer="json")
    application = config.make_wsgi_app()
    for _ in range(workers):
        child = os.fork()
        if not child:
            stats.increment_counter(["recycled"])
            Request.blank("/hello").get_response(application)
            os._exit(0)
        os.waitpid(child, 0)
    for _ in sys.stdin:
        begin = time.process_time()
        text = Request.blank("/metrics").get_response(application).text
        taken = time.process_time() - begin
        assert f"c2c_recycled_total {float(workers)}" in text
        print(taken * 1e3, flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(int(sys.argv[1]))
    else:
        main()
