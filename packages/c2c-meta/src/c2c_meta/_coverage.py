"""Which code an acceptance test runs, in the processes of the service: ``COVERAGE=1``.

Each process writes a file of its own, ``coverage.<host>.pid<pid>...``, when it ends in peace (SIGTERM, max-requests,
the end of a script); ``c2c-coverage-report`` makes one report of all of them. What to measure and what to leave out is
said as always, in the ``.coveragerc`` or ``pyproject.toml`` of the folder where the process starts.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2c_broadcast import ConfigurationError, load, setting

# Of each process, and of no use there: the gunicorn master runs nothing of the service.
_NO_WARNINGS = ["module-not-imported", "module-not-measured", "no-data-collected", "already-imported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageSettings:
    """Coverage, which begins before an ini file is read: environment only."""

    coverage: bool = setting(
        False, env="COVERAGE", key=None, help="measure what runs: acceptance tests only, it makes everything slower"
    )
    path: str = setting(
        "/tmp/coverage",  # noqa: S108 - the documented folder, of a container of tests
        env="COVERAGE_PATH",
        key=None,
        help="folder for the data files, for `Composition(..., coverage_paths=...)`; it is made",
    )


def start_coverage(_config: Any = None) -> bool:
    """Measure from now on, in this process and those that it forks, if ``COVERAGE`` says so; tell whether it does.

    c2c-run, ``c2c_meta.wsgi``, ``bootstrap`` and ``config.include("c2c_meta")`` call it; a daemon of its own does as
    its first statement: what is imported before looks as if it had not run. Again changes nothing. It can be an
    ``includeme``.

    Raises:
        ConfigurationError: a setting can't be read, or coverage is not installed
    """
    settings = load(CoverageSettings, {})
    if not settings.coverage:
        return False
    try:
        import coverage
    except ModuleNotFoundError as error:
        raise ConfigurationError("COVERAGE is set and coverage is missing: pip install 'c2c-meta[coverage]'") from error
    if coverage.Coverage.current() is not None:
        return True
    folder = Path(settings.path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"COVERAGE_PATH: {folder} can't be made: {error.strerror}") from error
    measuring = coverage.Coverage(
        data_file=str(folder.resolve() / "coverage"),
        data_suffix=True,  # host, pid and a random part, chosen anew after a fork
        auto_data=True,
    )
    measuring.set_option("run:disable_warnings", _NO_WARNINGS)
    measuring.set_option("run:sigterm", True)  # for a daemon that has no handler of its own
    measuring.start()
    return True
