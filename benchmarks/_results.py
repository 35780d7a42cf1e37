"""RESULTS.md: the last table, with the versions and the day of it."""

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks._table import Found, markdown

_FILE = Path(__file__).with_name("RESULTS.md")
_VERSIONS = (
    *("pyramid", "pyramid_tm", "cornice", "SQLAlchemy", "gunicorn", "orjson", "ujson", "redis", "sentry-sdk"),
    *("datadog", "statsd", "prometheus-client", "python-json-logger", "structlog"),
    *("opentelemetry-sdk", "opentelemetry-instrumentation-pyramid", "opentelemetry-instrumentation-sqlalchemy"),
)
_HEAD = """# Results

Written by `make bench`; don't edit. Contenders of a case take turns within one run. "median" is of the rounds, "spread"
is how far the middle half of them is apart; "ours is" the median of the rounds' ratios, ours to the contender's: the
figure that holds on other machines. A bar is what that is to reach. What is more than 20 % apart is measured again,
twice at most, and called noisy where it stays so: no bar is met by it. Instructions (callgrind) know no noise. What a
missed bar is due to is in [PROFILE.md](PROFILE.md).
"""


def write_results(cases: Sequence[Found], seconds: float) -> Path:
    """Write the file; return its path."""
    machine = (
        f"{time.strftime('%Y-%m-%d')}, {platform.python_implementation()} {platform.python_version()},"
        f" {platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[2]:.1f} while it ran"
        f" ({seconds / 60:.0f} minutes)."
    )
    versions = ", ".join(f"{name} {found}" for name in _VERSIONS if (found := _version(name)))
    _FILE.write_text("\n".join([_HEAD, machine, "", f"With {versions}.", "", markdown(cases)]))
    return _FILE


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
