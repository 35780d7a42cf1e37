"""The commands of c2cwsgiutils 3: each is the c2c command of today."""

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
        found = next(iter(entry_points(group="console_scripts", name=name)), None)
        if found is None:
            sys.stderr.write(f"{name}: is not installed: pip install --force-reinstall c2c-compat\n")
            sys.exit(2)
        if name == "c2c-run":
            from c2c_compat._era import called

            called(3, "c2cwsgiutils_run")
        return found.load()()

    return main


run = _same_as("c2c-run")
genversion = _same_as("c2c-genversion")
stats_db = _same_as("c2c-stats-db")
test_print = _same_as("c2c-test-print")
coverage_report = _same_as("c2c-coverage-report")
check_es = _same_as("c2c-check-es")
