"""The commands of c2cwsgiutils 3: each is the c2c command of today."""

import os
import re
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from c2c_compat._refusal import refuse


def _same_as(name: str) -> Callable[[], Any]:
    """Return what does what the command ``name`` does; exit 2 with one line where it can't."""

    def main() -> Any:
        try:
            refuse()
        except ImportError as error:
            sys.stderr.write(f"{name}: {error}\n")
            sys.exit(2)
        (found,) = entry_points(group="console_scripts", name=name)
        if name == "c2c-run":
            os.environ["C2CWSGIUTILS_RUN"] = "1"  # it becomes gunicorn, which has nothing else of this process
        return found.load()()

    return main


run = _same_as("c2c-run")
genversion = _same_as("c2c-genversion")


def stats_db() -> Any:
    """Measure a database; in era 6, where no option says where to send, wait for one scrape of Prometheus."""
    from c2c_compat._era import era_of
    from c2c_compat._setup import path_of

    given, values, ini = sys.argv[1:], 0, list[str]()
    for one in given:
        if one.startswith("--"):
            name = one.replace("_", "-")
            values = 3 if name == "--extra-gauge" else int("=" not in one and name not in {"--estimate", "--help"})
        elif values:
            values -= 1
        else:
            ini.append(one)  # what is no option's: the ini file, and variables for it
    get = os.environ.get
    path = path_of(ini[0]) if ini else get("C2CWSGIUTILS_CONFIG", "")
    if ini or get("C2C_PROMETHEUS_PORT") or era_of({"__file__": path}).number == 6:  # noqa: PLR2004 # the era's number
        os.environ.setdefault("C2C_PROMETHEUS_NAMES", "c2cwsgiutils6")
        given = [one for one in given if one not in ini] + ["--estimate"]
        given += ["--tries", get("C2CWSGIUTILS_STATS_DB_TRYNUMBER", "10")]
        given += ["--pause", get("C2CWSGIUTILS_STATS_DB_SLEEP", "1")]
        if not any(re.match("--(prometheus.url|statsd.address)", one) for one in given):
            given += ["--serve", get("C2C_PROMETHEUS_PORT") or "9090"]
        sys.argv[1:] = given
    return _same_as("c2c-stats-db")()


test_print = _same_as("c2c-test-print")
coverage_report = _same_as("c2c-coverage-report")
check_es = _same_as("c2c-check-es")
