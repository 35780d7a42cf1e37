"""What PostgreSQL knows about tables: rows, sizes, and how indexes are used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select, table, text
from sqlalchemy.sql import quoted_name

# Tables, partitioned tables and materialized views (documentation, 53.11. pg_class). reltuples is -1 before the first
# VACUUM or ANALYZE; the statistics collector counts from the first row on.
_TABLES = text(
    """
    SELECT c.relname, pg_table_size(c.oid),
           CASE WHEN c.reltuples < 0 THEN coalesce(pg_stat_get_live_tuples(c.oid), 0) ELSE c.reltuples END
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'm')
    ORDER BY c.relname
    """
)
_INDEXES = text(
    """
    SELECT t.relname, i.relname, pg_relation_size(i.oid, 'main'), pg_relation_size(i.oid, 'fsm'),
           pg_stat_get_numscans(i.oid), pg_stat_get_tuples_returned(i.oid), pg_stat_get_tuples_fetched(i.oid)
    FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class t ON t.oid = x.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE n.nspname = :schema AND t.relkind IN ('r', 'p', 'm')
    ORDER BY t.relname, i.relname
    """
)
# No parameters at all: then drivers leave percent signs alone.
_VERBATIM = {"no_parameters": True}
_INDEX_COLUMNS = (
    ("index_size", "fork", "main"),
    ("index_size", "fork", "fsm"),
    ("index_usage", "action", "scan"),
    ("index_usage", "action", "read"),
    ("index_usage", "action", "fetch"),
)


@dataclass(frozen=True, slots=True)
class Measure:
    """One number: ``kind`` is count, size (bytes), index_size (bytes), index_usage, or the name of an extra one."""

    kind: str
    value: float
    tags: Mapping[str, str] = field(default_factory=dict)
    help: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its name, and what the catalogue says about it. Its rows are still to be counted."""

    schema: str
    name: str
    estimate: float
    measures: tuple[Measure, ...]


def schema_exists(connection: Connection, schema: str) -> bool:
    """Tell whether there is such a schema."""
    return bool(connection.execute(text("SELECT 1 FROM pg_namespace WHERE nspname = :s"), {"s": schema}).scalar())


def read_tables(connection: Connection, schema: str) -> list[Table]:
    """Return the tables of a schema: two statements, whatever their number."""
    indexes: dict[str, list[Measure]] = {}
    for name, index, *numbers in connection.execute(_INDEXES, {"schema": schema}):
        for (kind, tag, word), number in zip(_INDEX_COLUMNS, numbers, strict=True):
            if number is not None:
                tags = {"schema": schema, "table": name, "index": index, tag: word}
                indexes.setdefault(name, []).append(Measure(kind, number, tags))
    found = []
    for name, size, estimate in connection.execute(_TABLES, {"schema": schema}):
        measures = indexes.get(name, [])
        if size is not None:
            measures = [Measure("size", size, {"schema": schema, "table": name}), *measures]
        found.append(Table(schema, name, float(estimate), tuple(measures)))
    return found


def count_rows(connection: Connection, one: Table, estimate: bool) -> list[Measure]:
    """Return a table's number of rows, counted or as the planner estimates it."""
    if estimate:
        rows = round(one.estimate)
    else:
        named = table(quoted_name(one.name, quote=True), schema=quoted_name(one.schema, quote=True))
        rows = connection.execute(select(func.count()).select_from(named)).scalar_one()
    return [Measure("count", rows, {"schema": one.schema, "table": one.name})]


def named_values(connection: Connection, sql: str) -> Iterator[Measure]:
    """Yield what a statement answers: rows of (name, value)."""
    for row in connection.exec_driver_sql(sql, execution_options=_VERBATIM):
        if len(row) != 2:  # noqa: PLR2004 # name and value
            raise ValueError(f"{sql}: gives {len(row)} columns, not a name and a value")
        yield Measure(str(row[0]), _number(sql, row[1]))


def tagged_values(connection: Connection, sql: str, name: str, help_: str) -> Iterator[Measure]:
    """Yield one gauge's values: of the column ``value``, else of the last one; all other columns are tags."""
    result = connection.exec_driver_sql(sql, execution_options=_VERBATIM)
    columns = list(result.keys())
    at = columns.index("value") if "value" in columns else len(columns) - 1
    for row in result:
        tags = {column: str(row[i]) for i, column in enumerate(columns) if i != at and row[i] is not None}
        yield Measure(name, _number(sql, row[at]), tags, help_)


def _number(sql: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{sql}: gives {value!r}, not a number") from None
