"""``c2c-stats-db``: send the sizes of a database's tables and indexes, once, to statsd or a Pushgateway."""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import TextIO

from c2c_broadcast import ConfigurationError, load, mask
from c2c_stats._settings import StatsSettings, parse_address

try:
    from sqlalchemy import Connection, Engine, create_engine, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    from c2c_stats._stats_db._queries import (
        Measure,
        Table,
        count_rows,
        named_values,
        read_tables,
        schema_exists,
        tagged_values,
    )
    from c2c_stats._stats_db._report import LogReport, PushgatewayReport, Report, StatsdReport
except ModuleNotFoundError as error:
    raise SystemExit(f"c2c-stats-db: {error.name} is missing: pip install 'c2c-stats[sql]'") from None

_BAR = 30


class Run:
    """One run: what was measured, and what failed."""

    def __init__(self, err: TextIO) -> None:
        self.measures: list[Measure] = []
        self.failed = False
        self._err = err
        self._bar = err.isatty()

    def attempt(self, what: str, measure: Callable[..., Iterable[Measure]], *arguments: object) -> None:
        """Measure something; a failure is said, and the rest goes on."""
        try:
            self.measures.extend(measure(*arguments))
        except (SQLAlchemyError, ValueError) as error:
            self.fail(f"{what}: {_line(error)}")

    def fail(self, message: str) -> None:
        """Say what failed."""
        self.failed = True
        self._err.write(("\r\x1b[K" if self._bar else "") + f"c2c-stats-db: {message}\n")

    def progress(self, tables: list[Table]) -> Iterator[Table]:
        """Yield the tables; show how far it is, on a terminal."""
        for done, table in enumerate(tables):
            if self._bar:
                full = _BAR * done // len(tables)
                name = f"{table.schema}.{table.name}"[:40]
                self._err.write(f"\r\x1b[K[{'#' * full}{' ' * (_BAR - full)}] {done}/{len(tables)} {name}")
                self._err.flush()
            yield table
        if self._bar:
            self._err.write("\r\x1b[K")


def main(argv: list[str] | None = None, err: TextIO | None = None) -> int:
    """Run the command; return 0, or 1 where something could not be measured or sent, 2 for arguments of no use."""
    err = err or sys.stderr
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=arguments.verbosity, format="%(levelname)s %(message)s")
    try:
        reports = _reports(arguments)
        engine = _engine(arguments.db)
    except (ConfigurationError, ValueError, ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        err.write(f"c2c-stats-db: {_line(error)}\n")
        return 2
    run = Run(err)
    try:
        with engine.connect() as connection:
            _measure(connection, arguments, run)
    except SQLAlchemyError as error:
        run.fail(_line(error))
    finally:
        engine.dispose()
    if run.failed and not run.measures:
        return 1  # an empty group would take the last numbers from the Pushgateway
    for report in reports:
        try:
            report.send(run.measures)
        except (OSError, ValueError) as error:
            run.fail(_line(error))
    return 1 if run.failed else 0


def _engine(text: str) -> Engine:
    """Return the engine of a URL. ``postgresql://`` means whichever driver is installed, psycopg2 or psycopg 3."""
    url = make_url(text)
    if url.drivername == "postgres":
        url = url.set(drivername="postgresql")
    try:
        return create_engine(url, isolation_level="AUTOCOMMIT")
    except ModuleNotFoundError as missing:
        # SQLAlchemy 2.0 means psycopg2, 2.1 psycopg 3.
        other = {"psycopg2": "psycopg", "psycopg": "psycopg2"}.get(missing.name or "")
        if url.drivername != "postgresql" or other is None or find_spec(other) is None:
            raise
        return create_engine(url.set(drivername=f"postgresql+{other}"), isolation_level="AUTOCOMMIT")


def _measure(connection: Connection, arguments: argparse.Namespace, run: Run) -> None:
    tables: list[Table] = []
    for schema in arguments.schema or ["public"]:
        if schema_exists(connection, schema):
            tables += read_tables(connection, schema)
        else:
            run.fail(f"there is no schema {schema!r}")
    for table in run.progress(tables):
        run.measures += table.measures
        run.attempt(f"{table.schema}.{table.name}", count_rows, connection, table, arguments.estimate)
    for sql in arguments.extra:
        run.attempt("--extra", named_values, connection, sql)
    for sql, name, help_ in arguments.extra_gauge:
        run.attempt("--extra-gauge", tagged_values, connection, sql, name, help_)


def _reports(arguments: argparse.Namespace) -> list[Report]:
    settings = load(StatsSettings, {})
    if arguments.statsd_address:
        try:
            settings = dataclasses.replace(settings, statsd_address=parse_address(arguments.statsd_address))
        except ValueError as error:
            raise ValueError(f"--statsd-address {arguments.statsd_address!r}: {error}") from None
    if arguments.statsd_prefix is not None:
        settings = dataclasses.replace(settings, statsd_prefix=arguments.statsd_prefix)
    reports: list[Report] = [LogReport()]
    if settings.statsd_address is not None:
        reports.append(StatsdReport(settings))
    if arguments.prometheus_url:
        reports.append(
            PushgatewayReport(arguments.prometheus_url, arguments.prometheus_instance, settings.prometheus_prefix)
        )
    return reports


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="c2c-stats-db", description=__doc__)

    def option(name: str, **keywords: object) -> None:
        names = dict.fromkeys([name, "--" + name.removeprefix("--").replace("-", "_")])
        parser.add_argument(*names, **keywords)  # type: ignore[arg-type] # argparse's many keywords

    option("--db", required=True, metavar="URL", help="the database: postgresql://user:password@host/name")
    option("--schema", action="append", help="schema whose tables are measured, by default public; can be repeated")
    option("--extra", action="append", default=[], metavar="SQL", help="more gauges: SQL that gives names and values")
    option(
        "--extra-gauge",
        action="append",
        default=[],
        nargs=3,
        metavar=("SQL", "NAME", "HELP"),
        help="one more gauge: SQL whose column `value`, or last one, is the value; other columns are tags",
    )
    option("--estimate", action="store_true", help="take the planner's numbers of rows: milliseconds on a big table")
    option("--statsd-address", metavar="HOST:PORT", help="statsd server; by default STATSD_ADDRESS")
    option("--statsd-prefix", metavar="PREFIX", help="first part of the names; by default STATSD_PREFIX")
    option("--prometheus-url", metavar="URL", help="Pushgateway")
    option("--prometheus-instance", metavar="NAME", help="label `instance` of the pushed group")
    option(
        "--verbosity",
        default="WARNING",
        type=str.upper,
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="INFO shows each number",
    )
    return parser


def _line(error: Exception) -> str:
    """Return an error as one line, without secrets."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return mask(" ".join(lines[0].split()))
