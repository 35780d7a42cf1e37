"""Run the benchmarks: ``python -m benchmarks [name ...]``.

Without a name: all cases, one table, kept in RESULTS.md with the versions and the day of it. With names: those modules.
"""

import importlib
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from benchmarks._case import HEAD, Found, Growth, Missing

# What matters most comes first.
_MODULES = (
    *("request", "instructions", "service", "metrics", "logging_lines", "rest", "broadcast", "health", "debug"),
    "scrape",
)
_RESULTS = Path(__file__).with_name("RESULTS.md")
_VERSIONS = (
    *("pyramid", "pyramid_tm", "cornice", "SQLAlchemy", "gunicorn", "orjson", "ujson", "redis", "sentry-sdk"),
    *("datadog", "prometheus-client", "python-json-logger"),
    *("opentelemetry-sdk", "opentelemetry-instrumentation-pyramid", "opentelemetry-instrumentation-sqlalchemy"),
)
_TEXT = """# Results

Written by `make bench`; don't edit. Contenders of a case take turns within one run. "median" is of the rounds, "spread"
is how far the middle half of them is apart; "ours is" the median of the rounds' ratios, ours to the contender's: the
figure that holds on other machines. A bar is what that is to reach. What is more than 20 % apart is measured again,
twice at most, and called noisy where it stays so: no bar is met by it. Instructions (callgrind) know no noise. What a
missed bar is due to is in [PROFILE.md](PROFILE.md).

{day}, {python}, {machine}, {cores} cores, load {load:.1f} while it ran ({minutes:.0f} minutes).

With {versions}.

{cases}

## Growth

{growths}
"""


def main(names: list[str]) -> int:
    """Run what is named, or everything; print each case as it comes."""
    if unknown := set(names) - set(_MODULES):
        sys.stderr.write(f"No benchmark {', '.join(sorted(unknown))}: there are {', '.join(_MODULES)}\n")
        return 2
    # Services have byte code: where this is set, each process would compile all packages anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    begun = time.monotonic()
    cases, growths = [_line(*HEAD), "|---|---|--:|--:|--:|---|"], ["| what | at: takes |", "|---|---|"]
    print(cases[0])
    for found in _all(names or _MODULES):
        if isinstance(found, Growth):
            lines, kept = ["| {} | {} |".format(*found.row())], growths
        else:
            lines, kept = [_line(*row) for row in found.rows()], cases
        kept += lines
        print("\n".join(lines), flush=True)
    if not names:
        text = _TEXT.format(
            day=time.strftime("%Y-%m-%d"),
            python=f"{platform.python_implementation()} {platform.python_version()}",
            machine=f"{platform.system()} {platform.machine()}",
            cores=os.cpu_count(),
            load=os.getloadavg()[2],
            minutes=(time.monotonic() - begun) / 60,
            versions=", ".join(f"{name} {version(name)}" for name in _VERSIONS),
            cases="\n".join(cases),
            growths="\n".join(growths),
        )
        _RESULTS.write_text(text)
        print(f"{_RESULTS} has this table")
    return 0


def _line(case: str, contender: str, median: str, spread: str, ratio: str, bar: str) -> str:
    return f"| {case:58} | {contender:51} | {median:>14} | {spread:>6} | {ratio:>7} | {bar:20} |"


def _all(names: Iterable[str]) -> Iterator[Found]:
    """Yield the cases of modules; one that can't run says why, and the others run."""
    for name in names:
        try:
            yield from importlib.import_module(f"benchmarks.{name}").cases()
        except Exception as error:  # noqa: BLE001 # a peer that is not installed, a port that is taken: anything
            yield Missing(name, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
