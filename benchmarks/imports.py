"""What importing costs, each in a fresh process. Run: ``python -m benchmarks imports``.

Processor time and memory (private and its share of what is shared, PSS) from an interpreter that has done nothing, each
package beside Pyramid alone; then a whole application made: c2c-meta with everything on beside its base. Bar (issue
26): importing takes 1.25 times the base's time. What is made has no bar of time: it is operator views, settings read
and checked, and the exporters, that the base hasn't got.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import request
from benchmarks._case import Case, Measured
from benchmarks._table import show

_PYRAMID = "Pyramid alone"
_ALL = "c2c-meta and all its packages"
_BASE = "pyramid.config pyramid_tm cornice sqlalchemy.orm zope.sqlalchemy"
_PACKAGES = ("broadcast", "stats", "db", "health", "logging", "debug", "rest", "sentry", "meta")
_ROUNDS = 3
_ROUNDS_OF_APPLICATIONS = 7
_PROGRAM = """
import sys, time

def memory():
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

before, begin = memory(), time.process_time()
if sys.argv[1] == "import":
    for name in sys.argv[2].split():
        __import__(name)
else:
    from benchmarks import request
    application = request.make(sys.argv[2], 9)
print((time.process_time() - begin) * 1000, memory() - before)
"""


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Case]:
    """Measure each package, then applications."""
    modules = {f"c2c-{name}": ("import", f"c2c_{name}") for name in _PACKAGES}
    times, sizes = _measure({_PYRAMID: ("import", "pyramid.config"), **modules}, _ROUNDS)
    for name in modules:
        yield Case(f"import of {name}: processor time", "ms", times[name], (times[_PYRAMID],))
        yield Case(f"import of {name}: memory", "MB", sizes[name], (sizes[_PYRAMID],))
    whole = {_ALL: ("import", " ".join(name for _, name in modules.values())), request.BASE: ("import", _BASE)}
    times, sizes = _measure(whole, _ROUNDS_OF_APPLICATIONS)
    found = ({**times, request.BASE: times[request.BASE].bar(most=1.25)}, sizes)
    yield from _pair("import of c2c-meta and all its packages", found, _ALL, (request.BASE,))
    names = (request.WHOLE, request.BASE, request.OPEN_TELEMETRY)
    times, sizes = _measure({name: ("make", name) for name in names}, _ROUNDS_OF_APPLICATIONS)
    peers = (request.BASE, request.OPEN_TELEMETRY)
    yield from _pair("an application imported and made", (times, sizes), request.WHOLE, peers)


_Found = tuple[dict[str, Measured], dict[str, Measured]]


def _pair(title: str, found: _Found, ours: str, peers: tuple[str, ...]) -> Iterator[Case]:
    for what, unit, one in zip(("processor time", "memory"), ("ms", "MB"), found, strict=True):
        yield Case(f"{title}: {what}", unit, one[ours], tuple(one[peer] for peer in peers))


def _measure(asked: dict[str, tuple[str, str]], rounds: int) -> _Found:
    """Return milliseconds, and MB, of each."""
    times: dict[str, list[float]] = {name: [] for name in asked}
    sizes: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, arguments in asked.items():
            said = subprocess.run(
                [sys.executable, "-c", _PROGRAM, *arguments],
                check=True,
                capture_output=True,
                text=True,
                cwd=Path(__file__).parents[1],
            ).stdout.split()
            times[name].append(float(said[0]))
            sizes[name].append(float(said[1]))
    return (
        {name: Measured(name, tuple(taken)) for name, taken in times.items()},
        {name: Measured(name, tuple(taken)) for name, taken in sizes.items()},
    )


if __name__ == "__main__":
    main()
