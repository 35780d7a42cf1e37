"""``c2c-stats-db``: send the sizes of a database's tables and indexes, once, to statsd, a Pushgateway, or a scrape."""

import argparse
import contextlib
import dataclasses
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Literal, TextIO, cast
from wsgiref.simple_server import make_server

from prometheus_client import make_wsgi_app

from c2c_broadcast import ConfigurationError, load
from c2c_broadcast.command import Parser, one_line
from c2c_stats._series import identify, say
from c2c_stats._settings import SIX, Address, StatsSettings, parse_address
from c2c_stats._statsd import Chunk, Format, Sender, pack
from c2c_stats.prometheus._exposition import prefix_of_six, prometheus_name
from c2c_stats.prometheus._providers import PushgatewayGroupPublisher
from c2c_stats.prometheus._scrape import Handler

try:
    from sqlalchemy import Connection, Engine, create_engine, func, make_url, select, table, text
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.sql import quoted_name
except ModuleNotFoundError as error:
    raise SystemExit(f"c2c-stats-db: {error.name} is missing: pip install 'c2c-stats[sql]'") from None

_LOG = logging.getLogger("c2c_stats.db")

# Tables, partitioned tables and materialized views (documentation, 53.11. pg_class). reltuples is -1 before the first
# VACUUM or ANALYZE; the statistics collector counts from the first row on.
_NUMBERS = text(
    """
    WITH t AS (
        SELECT c.oid, c.relname, c.reltuples FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'm')
    )
    SELECT m.kind, m.value, t.relname, NULL AS index, NULL AS fork, NULL AS action
    FROM t CROSS JOIN LATERAL (VALUES
        ('size', CAST(pg_table_size(t.oid) AS float)),
        ('count', CASE WHEN t.reltuples < 0 THEN coalesce(pg_stat_get_live_tuples(t.oid), 0) ELSE t.reltuples END)
    ) AS m (kind, value)
    UNION ALL
    SELECT m.kind, m.value, t.relname, i.relname, m.fork, m.action
    FROM t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid CROSS JOIN LATERAL (VALUES
        ('index_size', 'main', NULL, pg_relation_size(i.oid, 'main')),
        ('index_size', 'fsm', NULL, pg_relation_size(i.oid, 'fsm')),
        ('index_usage', NULL, 'scan', pg_stat_get_numscans(i.oid)),
        ('index_usage', NULL, 'read', pg_stat_get_tuples_returned(i.oid)),
        ('index_usage', NULL, 'fetch', pg_stat_get_tuples_fetched(i.oid))
    ) AS m (kind, fork, action, value)
    ORDER BY 3, 4
    """
)
_SCHEMA = text("SELECT 1 FROM pg_namespace WHERE nspname = :schema")
_COLUMNS = ("schema", "table", "index", "fork", "action")
_VERBATIM = {"no_parameters": True}  # then drivers leave percent signs alone
_BAR = 30
_HIGHEST_PORT = 65_535
_PAUSE = 0.002  # seconds between two datagrams: thousands of lines must not overrun the server's buffer


@dataclasses.dataclass(frozen=True, slots=True)
class Measure:
    """One number: ``kind`` is count, size (bytes), index_size (bytes), index_usage, or the name of an extra one.

    ``of`` is what c2cwsgiutils 6 calls what it is of: a table, a row of ``--extra``, or a gauge of ``--extra-gauge``.
    """

    kind: str
    value: float
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    help: str = ""
    of: Literal["table", "extra", "gauge"] = "table"

    def as_six(self) -> tuple[str, Mapping[str, str]]:
        if self.of == "extra":
            return "database_extra", {"metric": self.kind}
        if self.of == "table":
            return f"database_table_{self.kind}", self.tags
        # What its column is called did not matter there.
        return f"database_{self.kind}", {"metric": "".join(self.tags.values())} if len(self.tags) == 1 else self.tags


def main(argv: list[str] | None = None, err: TextIO | None = None) -> int:
    """Run the command; return 0, or 1 where something could not be measured or sent, 2 for arguments of no use."""
    err = err or sys.stderr
    try:
        settings = load(StatsSettings, {})
        arguments = _parsed(settings, argv)
        logging.basicConfig(level=arguments.verbosity, format="%(levelname)s %(message)s")
        engine = _engine(arguments.db)
    except (ConfigurationError, ValueError, ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        err.write(f"c2c-stats-db: {_line(error)}\n")
        return 2
    for _ in range(arguments.tries - 1):
        if not _measure_and_send(arguments, settings, engine, err):
            return 0
        time.sleep(arguments.pause)
    return 1 if _measure_and_send(arguments, settings, engine, err) else 0


def _measure_and_send(arguments: argparse.Namespace, settings: StatsSettings, engine: Engine, err: TextIO) -> bool:
    run = _Run(err)
    with run.attempt(), engine.connect() as connection:
        run.measure(connection, arguments)
    engine.dispose()
    for one in run.measures:
        _LOG.info("%s %s = %s", one.kind, dict(one.tags), one.value)
    if run.measures or not run.failed:  # an empty group would take the last numbers from the Pushgateway
        if arguments.statsd_address:
            with run.attempt():
                _to_statsd(arguments, settings, run.measures)
        if arguments.prometheus_url:
            with run.attempt():
                _group(arguments, settings, run.measures).commit()
    if arguments.serve is not None and not run.failed:  # who fails is tried again, not scraped
        with run.attempt():
            _to_scrape(_group(arguments, settings, run.measures), arguments.serve)
    return run.failed


class _Run:
    def __init__(self, err: TextIO) -> None:
        self.measures: list[Measure] = []
        self.failed = False
        self._err = err
        self._bar = err.isatty()

    def measure(self, connection: Connection, arguments: argparse.Namespace) -> None:
        tables: list[Measure] = []
        for schema in arguments.schema or ["public"]:
            if not connection.execute(_SCHEMA, {"schema": schema}).scalar():
                self.fail(f"there is no schema {schema!r}")
            for kind, value, *names in connection.execute(_NUMBERS, {"schema": schema}):
                tags = dict(zip(_COLUMNS, (schema, *names), strict=True))
                one = Measure(kind, value, {tag: name for tag, name in tags.items() if name is not None})
                (tables if kind == "count" else self.measures).append(one)
        for number, one in enumerate(tables):
            name = f"{one.tags['schema']}.{one.tags['table']}"
            if self._bar:
                bar = ("#" * (_BAR * number // len(tables))).ljust(_BAR)
                self._err.write(f"\r\x1b[K[{bar}] {number}/{len(tables)} {name[:40]}")
                self._err.flush()
            with self.attempt(f"{name}: "):
                rows = one.value if arguments.estimate else _count(connection, one.tags)
                self.measures.append(dataclasses.replace(one, value=rows))
        if self._bar:
            self._err.write("\r\x1b[K")
        for sql in arguments.extra:
            with self.attempt("--extra: "):
                self.measures += _named_values(connection, sql)
        for sql, name, help_ in arguments.extra_gauge:
            with self.attempt("--extra-gauge: "):
                self.measures += _tagged_values(connection, sql, name, help_)

    @contextlib.contextmanager
    def attempt(self, what: str = "") -> Iterator[None]:
        """Say a failure of a ``with`` block, and go on after it."""
        try:
            yield
        except (SQLAlchemyError, OSError, ValueError) as error:
            self.fail(what + _line(error))

    def fail(self, message: str) -> None:
        self.failed = True
        self._err.write(("\r\x1b[K" if self._bar else "") + f"c2c-stats-db: {message}\n")


def _count(connection: Connection, tags: Mapping[str, str]) -> int:
    named = table(quoted_name(tags["table"], quote=True), schema=quoted_name(tags["schema"], quote=True))
    return connection.execute(select(func.count()).select_from(named)).scalar_one()


def _named_values(connection: Connection, sql: str) -> Iterator[Measure]:
    for row in connection.exec_driver_sql(sql, execution_options=_VERBATIM):
        if len(row) != 2:  # noqa: PLR2004 # name and value
            raise ValueError(f"{sql}: gives {len(row)} columns, not a name and a value")
        yield Measure(str(row[0]), _number(sql, row[1]), of="extra")


def _tagged_values(connection: Connection, sql: str, name: str, help_: str) -> Iterator[Measure]:
    """Yield one gauge's values: of the column ``value``, else of the last one; all other columns are tags."""
    result = connection.exec_driver_sql(sql, execution_options=_VERBATIM)
    columns = list(result.keys())
    at = columns.index("value") if "value" in columns else len(columns) - 1
    for row in result:
        tags = {column: str(row[i]) for i, column in enumerate(columns) if i != at and row[i] is not None}
        yield Measure(name, _number(sql, row[at]), tags, help_, of="gauge")


def _number(sql: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{sql}: gives {value!r}, not a number") from None


def _to_statsd(arguments: argparse.Namespace, settings: StatsSettings, measures: list[Measure]) -> None:
    """Send gauges, without the limit of series that holds for services: a database has what it has."""
    address: Address = arguments.statsd_address
    form = Format(arguments.statsd_prefix, settings.statsd_tags, address.datagram)
    sender = Sender(address)
    chunks = []
    for one in measures:
        key, tags = one.kind.split("."), one.tags
        if not settings.statsd_use_tags:
            key, tags = [*key, *tags.values()], {}
        chunks.append(Chunk(form.gauge(form.wire(identify("gauge", key, tags)), one.value)))
    try:
        for packed in pack(chunks, form.datagram):
            if not sender.send(b"\n".join(chunk.text for chunk in packed)):
                raise OSError(f"statsd at {address} can't be reached")
            time.sleep(_PAUSE)
        if sender.settle()[1]:
            raise OSError(f"statsd at {address} refuses")
    finally:
        sender.close()
        say()


def _to_scrape(group: PushgatewayGroupPublisher, port: int) -> None:
    """Serve all on a port, on any path, until one scrape has them."""
    answer: Any = make_wsgi_app(cast("Any", group))
    scraped = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        scraped.append(environ["REQUEST_METHOD"] == "GET")
        return answer(environ, start_response)

    with make_server("", port, app, handler_class=Handler) as server:
        while not any(scraped):
            server.handle_request()


def _group(
    arguments: argparse.Namespace, settings: StatsSettings, measures: list[Measure]
) -> PushgatewayGroupPublisher:
    job = "db_counts" if settings.prometheus_names == SIX else "c2c_stats_db"
    group = PushgatewayGroupPublisher(arguments.prometheus_url, job, arguments.prometheus_instance)
    for one in measures:
        kind, tags, prefix = one.kind, one.tags, settings.prometheus_prefix
        if settings.prometheus_names == SIX:
            (kind, tags), prefix = one.as_six(), prefix_of_six(prefix)
        group.add(prometheus_name(tuple(kind.split(".")), prefix), one.value, metric_labels=tags, metric_help=one.help)
    return group


def _engine(url_text: str) -> Engine:
    """Return the engine of a URL. ``postgresql://`` means whichever driver is installed, psycopg 3 or psycopg2."""
    try:
        url = make_url(url_text)
    except ArgumentError:
        raise ValueError("--db is no URL: give postgresql://user:password@host/name") from None
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise ValueError(f"--db is of {url.drivername}, and only PostgreSQL is measured")
    if "+" not in url.drivername:
        url = url.set(drivername=f"postgresql+{'psycopg' if find_spec('psycopg') else 'psycopg2'}")
    return create_engine(url, isolation_level="AUTOCOMMIT")


def _parsed(settings: StatsSettings, argv: list[str] | None) -> argparse.Namespace:
    parser = Parser("c2c-stats", prog="c2c-stats-db", description=__doc__)

    def option(name: str, help_: str, **keywords: Any) -> None:
        names = dict.fromkeys([name, "--" + name.removeprefix("--").replace("-", "_")])
        parser.add_argument(*names, help=help_, **keywords)

    more: dict[str, Any] = {"action": "append", "default": []}
    address, prefix = settings.statsd_address, settings.statsd_prefix
    option("--db", "the database: postgresql://user:password@host/name", required=True, metavar="URL")
    option("--schema", "schema whose tables are measured, by default public; can be repeated", action="append")
    option("--extra", "more gauges: SQL that gives names and values", metavar="SQL", **more)
    one_more = "one more gauge: SQL whose column `value`, or last one, is the value; other columns are tags"
    option("--extra-gauge", one_more, nargs=3, metavar=("SQL", "NAME", "HELP"), **more)
    option("--estimate", "take the planner's numbers of rows: milliseconds on a big table", action="store_true")
    server = "statsd server; by default STATSD_ADDRESS"
    option("--statsd-address", server, metavar="HOST:PORT", type=_address, default=address)
    option("--statsd-prefix", "first part of the names; by default STATSD_PREFIX", metavar="PREFIX", default=prefix)
    option("--prometheus-url", "Pushgateway", metavar="URL")
    option("--prometheus-instance", "label `instance` of the pushed group", metavar="NAME")
    once = "serve the numbers to Prometheus here until one scrape has them"
    option("--serve", once, metavar="PORT", type=_number_or_port)
    option("--tries", "how often to try until nothing fails", default=1, metavar="N", type=_number_or_port)
    option("--pause", "seconds between two tries", default=1.0, metavar="SECONDS", type=float)
    levels = ("DEBUG", "INFO", "WARNING", "ERROR")
    option("--verbosity", "INFO shows each number", default="WARNING", type=str.upper, choices=levels)
    found = parser.parse_args(argv)
    if not (found.statsd_address or found.prometheus_url or found.serve or found.verbosity in {"DEBUG", "INFO"}):
        others = "--statsd-address, --prometheus-url or --serve, or --verbosity INFO to look"
        raise ValueError(f"nowhere to send: give {others}")
    return found


def _address(raw: str) -> Address:
    try:
        return parse_address(raw)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{raw!r}: {error}") from None


def _number_or_port(raw: str) -> int:
    if not raw.isdecimal() or not 0 < int(raw) <= _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{raw!r} is not a whole number from 1 to {_HIGHEST_PORT}")
    return int(raw)


def _line(error: Exception) -> str:
    """Return the first line of an error, without secrets: SQLAlchemy's have many."""
    return one_line(str(error).strip().partition("\n")[0] or type(error).__name__)
