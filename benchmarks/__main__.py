"""Run the benchmarks: ``python -m benchmarks [name ...]``.

Without a name: all cases, one table, kept in RESULTS.md. With names: those modules, with all that they have to say.
"""

import importlib
import os
import pkgutil
import sys
import time
from collections.abc import Iterator

import benchmarks
from benchmarks._case import Missing
from benchmarks._results import write_results
from benchmarks._table import Found, show

# What matters most comes first; what is not named comes behind.
_ORDER = (
    "request",
    "instructions",
    "service",
    "load",
    "metrics",
    "logging_lines",
    "rest",
    "db",
    "broadcast",
    "health",
    "debug",
    "scrape",
)


def main(names: list[str]) -> int:
    """Run what is named, or everything."""
    found = sorted(
        module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")
    )
    unknown = sorted(set(names) - set(found))
    if unknown:
        sys.stderr.write(f"No benchmark {', '.join(unknown)}: there are {', '.join(found)}\n")
        return 2
    # Services have byte code: where this is set, each process would compile all packages anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in names:
        print(f"== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()
    if not names:
        begun = time.monotonic()
        done = show(_all(found))
        print(f"{write_results(done, time.monotonic() - begun)} has this table")
    return 0


def _all(names: list[str]) -> Iterator[Found]:
    """Yield the cases of all modules; one that can't run says why, and the others run."""
    for name in sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER)):
        try:
            module = importlib.import_module(f"benchmarks.{name}")
            if hasattr(module, "cases"):
                yield from module.cases()
        except Exception as error:  # noqa: BLE001 # a peer that is not installed, a port that is taken: anything
            yield Missing(name, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
