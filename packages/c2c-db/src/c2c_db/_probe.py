"""Look at a replica: on itself, by a short connection of its own, beside pools and metrics."""

import contextlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from c2c_db._lsn import parse_lsn
from c2c_db._replica_state import Observation
from c2c_db._sockets import cut_after

STATEMENT_LIMIT_MS = 100
# Seconds: what libpq takes as the least. Connecting is bounded by it, and so is the answer of a server that hangs.
CONNECT_LIMIT = 2
_ANSWER_LIMIT = 1.0

_SQL = """
SELECT pg_is_in_recovery(),
       EXISTS (SELECT FROM pg_stat_wal_receiver),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()::text END,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text END,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float
"""


def probe(engine: Engine, connect_args: Mapping[str, Any]) -> Observation:
    """Return what the server of ``engine`` says about itself, within 3 s.

    Raises:
        Exception: It can't be reached, or does not answer: the driver's error.
    """
    if engine.dialect.name != "postgresql":
        with engine.connect():
            return Observation(knows_wal=False)
    connection = _connect(engine, connect_args)
    with contextlib.closing(connection), cut_after(connection, _ANSWER_LIMIT):
        connection.autocommit = True
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(f"SET statement_timeout = {STATEMENT_LIMIT_MS}")
            cursor.execute(_SQL)
            row: Any = cursor.fetchone()
    in_recovery, receiver, received, replayed, age = row
    return Observation(
        in_recovery=in_recovery,
        receiver=receiver,
        received=parse_lsn(received) if received else None,
        replayed=parse_lsn(replayed) if replayed else None,
        replayed_age=age,
    )


def _connect(engine: Engine, connect_args: Mapping[str, Any]) -> Any:
    positional, named = engine.dialect.create_connect_args(engine.url)
    positional = list(positional)
    named = {**named, **connect_args, "connect_timeout": CONNECT_LIMIT}
    named.setdefault("application_name", "c2c_db probe")
    # As the pool does: a listener may bring the password of the hour (a cloud's token).
    for connect in engine.dialect.dispatch.do_connect:
        connection = connect(engine.dialect, None, positional, named)
        if connection is not None:
            return connection
    return engine.dialect.connect(*positional, **named)
