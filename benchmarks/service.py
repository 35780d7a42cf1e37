"""What the toolkit costs a service that runs. Run: ``python -m benchmarks service``.

Its imports, its start, its memory, and requests a second: the base (Pyramid, pyramid_tm, cornice, SQLAlchemy) under
gunicorn, the same with c2c-meta whole under c2c-run, all with the same arguments (threads, no access log). Bars: issue
26.
"""

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks._case import Case, Found, Missing, measured
from benchmarks._servers import LIMIT, ROOT, answers, children, server, statsd_reader
from benchmarks.request import BASE, NO_DATABASE, OPEN_TELEMETRY, WHOLE, contenders

_WARM_UP = 300
# A connection stays with the worker that accepted it: so many that neither worker is ever idle, however they fell.
_LOAD = ("-t1", "-c64", "-d1s")
_ALL = "c2c-meta and all its packages"
_IMPORTS = {
    _ALL: "c2c_broadcast c2c_stats c2c_db c2c_health c2c_logging c2c_debug c2c_rest c2c_sentry c2c_page c2c_meta",
    BASE: "pyramid.config pyramid_tm cornice sqlalchemy.orm zope.sqlalchemy",
}
_IMPORT = "import sys, time\nfor name in sys.argv[1].split(): __import__(name)\nprint(time.process_time() * 1000)"


def cases() -> Iterator[Found]:
    """Import, start servers, look at their memory, put load on them."""
    imports = {name: partial(_import, modules) for name, modules in {**_IMPORTS, "nothing": "sys"}.items()}
    nothing = imports.pop("nothing")
    takes = {name: lambda one=one: one() - nothing() for name, one in imports.items()}
    yield measured(f"import of {_ALL}: processor time", "ms", takes, 7, most={BASE: 1.25})
    with tempfile.TemporaryDirectory() as folder, statsd_reader() as statsd:

        def serve(name: str, workers: int, *arguments: str) -> contextlib.AbstractContextManager[tuple[int, int]]:
            return server(Path(folder), name, statsd, workers, *arguments, whole=name.startswith(WHOLE))

        def seconds(name: str) -> float:
            start = time.perf_counter()
            with serve(name, 5):
                return time.perf_counter() - start

        def megabytes(name: str, *arguments: str) -> tuple[float, float]:
            """Return what two workers have, and what they have with their master."""
            with serve(name, 2, *arguments) as (port, master):
                _wait_for_workers(master, 2)
                for _ in range(_WARM_UP):
                    answers(port)
                workers = sum(map(_pss, children(master)))
                return workers, workers + _pss(master)

        starts = {name: partial(seconds, name) for name in (WHOLE, BASE)}
        yield measured("start of five workers, to the first answer", "s", starts, 4, most={BASE: 1.2})
        for what, end, arguments in (
            ("", "", ()),
            (", no database", NO_DATABASE, ()),
            (" with --preload", "", ("--preload",)),
        ):
            sizes = {name + end: megabytes(name + end, *arguments) for name in (WHOLE, BASE)}
            for index, whose in enumerate(("two workers' memory (PSS)", "the same with their master's")):
                samples = {name: [found[index]] for name, found in sizes.items()}
                yield Case(whose + what, "MB", samples, {} if index else {BASE + end: 1.15})
        yield _growth()
        if wrk := shutil.which("wrk"):
            with contextlib.ExitStack() as stack:
                names = (WHOLE, BASE, OPEN_TELEMETRY)
                rates = {name: partial(_rate, wrk, stack.enter_context(serve(name, 2))[0]) for name in names}
                for rate in rates.values():
                    rate()  # both workers are up, and warm
                yield measured("requests a second, two workers (more is better)", "1/s", rates, 12, least={BASE: 0.97})
        else:
            yield Missing("requests a second, two workers", "wrk is not installed: apt install wrk")


def _import(modules: str) -> float:
    command = [sys.executable, "-c", _IMPORT, modules]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def _growth() -> Case:
    """Make a million requests in one process."""
    with contenders() as start:
        one = start(WHOLE)
        one.ask("ping 100000")
        before = _pss(one.pid)
        one.ask("ping 900000")
        samples = {WHOLE: [_pss(one.pid)], "after 100,000": [before]}
    return Case("memory after 1,000,000 requests", "MB", samples, {"after 100,000": 1.02})


def _wait_for_workers(master: int, count: int) -> None:
    """Wait until all workers have read their application: their memory no longer grows."""
    deadline, before = time.monotonic() + LIMIT, -1.0
    while time.monotonic() < deadline:
        pids = children(master)
        now = round(sum(map(_pss, pids)), 1)
        if len(pids) == count and now == before:
            return
        before = now
        time.sleep(1)


def _pss(pid: int) -> float:
    """Return a process's share of memory in MB: shared pages divided by those who share them."""
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def _rate(wrk: str, port: int) -> float:
    """Return requests a second."""
    command = [wrk, *_LOAD, f"http://127.0.0.1:{port}/ping"]
    found = re.search(
        r"Requests/sec: +([\d.]+)", subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
    assert found
    return float(found[1])
