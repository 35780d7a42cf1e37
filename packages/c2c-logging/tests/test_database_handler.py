"""Logs in a database: made, filled, filtered; absences survived; nothing waits."""

import logging
import os
import time
import uuid

import pytest
import sqlalchemy as sa

from c2c_broadcast import ConfigurationError
from c2c_logging import SQLAlchemyHandler
from c2c_logging._database import make_database


@pytest.fixture
def database(postgres):
    """The URL of a database that does not exist yet; it is gone at the end."""
    name = f"logs_{uuid.uuid4().hex[:12]}"
    yield postgres.url_of(name)
    postgres.drop_database(name)


@pytest.fixture
def make():
    """A function that makes a handler and a logger that has it; handlers are closed at the end."""
    handlers = []

    def make(url, *args, config=None, **kwargs):
        handler = SQLAlchemyHandler({"url": url, **(config or {})}, *args, **kwargs)
        handlers.append(handler)
        logger = logging.Logger("app")  # noqa: LOG001 # of this test alone
        logger.addHandler(handler)
        return handler, logger

    yield make
    for handler in handlers:
        handler.close()
        handler._queue.engine.dispose()


def rows(handler):
    """Return what is in the table, in order."""
    with handler._queue.engine.connect() as connection:
        return connection.execute(sa.select(handler.table).order_by(handler.table.c.id)).all()


def flush(handler):
    """Wait until all is written, on a slow machine too: the handler's own ``flush`` gives up after five seconds."""
    handler._queue.at_end = 60
    assert handler._queue.flush()


def wait_for(condition, timeout=60):
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)


def test_everything_is_created(make, database):
    """Database, schema and table come by themselves; a row has what the contract names."""
    handler, log = make(database, config={"tablename": "journal", "tableargs": {"schema": "x"}})
    try:
        raise_it()
    except ValueError:
        log.exception("failed %s", "here")
    flush(handler)
    (row,) = rows(handler)
    assert (row.logger, row.level, row.msg) == ("app", "ERROR", "failed here")
    assert row.trace.startswith("Traceback")
    assert row.trace.endswith("ValueError: x\n")
    assert abs(row.created_at.timestamp() - time.time()) < 60
    assert str(handler.table) == "x.journal"
    assert [column.name for column in handler.table.columns] == ["id", "logger", "level", "trace", "msg", "created_at"]


def raise_it():
    """Raise."""
    raise ValueError("x")


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_database_is_made_once(postgres, driver):
    """Whatever its name; where it is, there is nothing to do, and no connection is left open."""
    name = f'odd: 100% "logs" {uuid.uuid4().hex[:12]}'
    url = sa.make_url(postgres.url_of("x")).set(database=name, drivername=f"postgresql+{driver}")
    try:
        make_database(url)
        make_database(url)
        named = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'CREATE DATABASE%%odd: 100%%'"
        wait_for(lambda: postgres.execute(named) == [(0,)])
    finally:
        postgres.drop_database(name)


def test_the_traceback_is_the_records_own(make, database):
    """Not the one of an exception that happens to be handled where the record is written, or where it is logged."""
    handler, log = make(database)
    try:
        raise_it()
    except ValueError as error:
        log.info("no traceback")
        kept = error
    log.error("later", exc_info=kept)
    flush(handler)
    first, second = rows(handler)
    assert first.trace is None
    assert "raise_it" in second.trace


def test_the_order_and_the_batches(make, database):
    """A thousand records, in order, in far fewer statements."""
    handler, log = make(database)
    handler.create_db()
    statements = []
    sa.event.listen(handler._queue.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    for number in range(1000):
        log.info("%s", number)
    flush(handler)
    assert [row.msg for row in rows(handler)] == [str(number) for number in range(1000)]
    assert len([one for one in statements if one.startswith("INSERT")]) <= 100


def test_a_lonely_record_is_written_in_a_second(make, database):
    """Nobody needs to flush."""
    handler, log = make(database)
    handler.create_db()
    log.info("alone")
    wait_for(lambda: rows(handler))


@pytest.mark.parametrize(
    ("without", "with_", "expected"),
    [
        ("", "", ["apple pie", "banana split", "apple tart"]),
        ("split|pie$", "", ["apple tart"]),
        ("", "^apple", ["apple pie", "apple tart"]),
        ("pie", "apple", ["apple tart"]),
    ],
)
def test_filters_look_at_the_formatted_message(make, tmp_path, without, with_, expected):
    """Neither the format nor the arguments alone."""
    handler, log = make(f"sqlite:///{tmp_path}/logs.db", without, with_)
    log.info("%s pie", "apple")
    log.info("%s split", "banana")
    log.info("%s %s", "apple", "tart")
    flush(handler)
    assert [row.msg for row in rows(handler)] == expected if expected else True


def test_filters_may_be_named(make, tmp_path):
    """As in ``kwargs`` of an ini file."""
    handler, log = make(f"sqlite:///{tmp_path}/logs.db", does_not_contain_expression="curl", contains_expression="GET")
    log.info("GET / curl")
    log.info("GET / firefox")
    flush(handler)
    assert [row.msg for row in rows(handler)] == ["GET / firefox"]


def test_logging_never_waits(make):
    """Whatever the database does: here, nobody answers."""
    handler, log = make("postgresql://nobody:x@127.0.0.1:1/none")
    start = time.monotonic()
    for number in range(2000):
        log.info("%s", number)
    assert time.monotonic() - start < 20
    wait_for(lambda: handler._queue.is_away)
    start = time.monotonic()
    handler.close()
    assert time.monotonic() - start < 20


def test_an_absence_is_survived(make, new_postgres, capfd):
    """The server is killed, records go on, it comes back: nothing that fitted the queue is lost."""
    server = new_postgres()
    handler, log = make(server.url)
    log.info("before")
    flush(handler)
    with server.down():
        for number in range(500):
            log.info("%s", number)
        wait_for(lambda: handler._queue.is_away)
    wait_for(lambda: not handler._queue.is_away)
    flush(handler)
    assert [row.msg for row in rows(handler)] == ["before", *map(str, range(500))]
    said = capfd.readouterr().err
    assert said.count("is away") == 1
    assert said.count("works again") == 1
    assert "pg-p4ssword" not in said


def test_dropped_ones_are_counted_and_said_once(make, new_postgres, capfd):
    """More than the queue takes: how many is said on standard error."""
    server = new_postgres()
    handler, log = make(server.url)
    handler.create_db()
    with server.down():
        for number in range(12_000):
            log.info("%s", number)
        dropped = handler._queue._dropped
        assert dropped >= 1900
    wait_for(lambda: not handler._queue.is_away)
    wait_for(lambda: len(rows(handler)) == 12_000 - dropped)
    flush(handler)
    said = capfd.readouterr().err
    assert said.count("is full") == 1
    assert f"{dropped} records were dropped" in said


def test_what_is_lost_at_the_end_is_counted(make, capfd):
    """A database that is still away when the handler is closed: how many records it did not get is said."""
    handler, log = make("postgresql://nobody:x@127.0.0.1:1/none")
    for number in range(3):
        log.info("%s", number)
    wait_for(lambda: handler._queue.is_away)
    handler.close()
    wait_for(lambda: not handler._queue._worker.running)
    assert capfd.readouterr().err.count(": 3 records were dropped") == 1


def test_a_table_that_goes_away_comes_back(make, postgres, database):
    """Somebody drops it; the next record makes it again."""
    handler, log = make(database)
    log.info("one")
    flush(handler)
    postgres.execute("DROP TABLE logs", database=database.rpartition("/")[2])
    log.info("two")
    flush(handler)
    assert [row.msg for row in rows(handler)] == ["two"]


def test_odd_texts_are_taken(make, database):
    """What PostgreSQL's text has not does not stop the others of the batch."""
    handler, log = make(database)
    log.info("nul \0 in it")
    log.info("lone \ud800")
    log.info("good")
    flush(handler)
    assert [row.msg for row in rows(handler)] == ["nul \\0 in it", "lone \\ud800", "good"]


def test_a_record_that_is_refused_does_not_stop_the_others(make, postgres, database, capfd):
    """One bad row is said and left out."""
    handler, log = make(database)
    handler.create_db()
    postgres.execute("ALTER TABLE logs ADD CHECK (msg <> 'bad')", database=database.rpartition("/")[2])
    for message in ("one", "bad", "two"):
        log.info(message)
    flush(handler)
    assert [row.msg for row in rows(handler)] == ["one", "two"]
    assert "a record of app is refused" in capfd.readouterr().err


def test_its_own_sql_is_not_logged_into_it(make, database, tmp_path):
    """With SQLAlchemy's logging in the table, two handlers do not feed themselves, nor each other."""
    first, _ = make(database)
    second, _ = make(f"sqlite:///{tmp_path}/logs.db")
    logger = logging.getLogger("sqlalchemy")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(first)
    logger.addHandler(second)
    try:
        logging.getLogger("sqlalchemy.engine.mine").info("of the application")
        for _ in range(3):
            flush(first)
            flush(second)
            time.sleep(0.2)
    finally:
        logger.removeHandler(first)
        logger.removeHandler(second)
        logger.setLevel(before)
    assert [row.msg for row in rows(first)] == ["of the application"]
    assert [row.msg for row in rows(second)] == ["of the application"]


def test_two_handlers_with_tables_of_one_name(make, database, tmp_path):
    """Each has its own database, and its own records."""
    first, log = make(database)
    second, other = make(f"sqlite:///{tmp_path}/logs.db")
    log.info("first")
    other.info("second")
    flush(first)
    flush(second)
    assert [[row.msg for row in rows(handler)] for handler in (first, second)] == [["first"], ["second"]]


def test_two_processes_create_at_once(make, database):
    """Whoever is late finds the table there."""
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            handler = SQLAlchemyHandler({"url": database})
            handler.emit(logging.makeLogRecord({"msg": "child"}))
            handler.close()
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    handler, _ = make(database)
    assert len(rows(handler)) == 4


def test_after_a_fork_the_child_has_its_own_connection(make, database):
    """Built and used before the fork, it writes in both processes, each record once."""
    handler, log = make(database)
    log.info("parent")
    flush(handler)

    def server_process():
        with handler._queue.engine.connect() as connection:
            return connection.scalar(sa.text("SELECT pg_backend_pid()"))

    before = server_process()
    pid = os.fork()
    if pid == 0:
        log.info("child")
        handler.flush()
        log.info("own: %s", server_process() != before)
        handler.close()
        os._exit(0)
    os.waitpid(pid, 0)
    log.info("parent again")
    flush(handler)
    assert sorted(row.msg for row in rows(handler)) == ["child", "own: True", "parent", "parent again"]


def test_what_is_queued_is_written_at_exit(database, make, tmp_path):
    """A script that ends at once has logged."""
    import subprocess
    import sys

    code = f"""
import logging
from c2c_logging import SQLAlchemyHandler
from c2c_logging._database import make_database
logging.getLogger().addHandler(SQLAlchemyHandler({{"url": {database!r}}}))
for number in range(250):
    logging.warning("%s", number)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    handler, _ = make(database)
    assert len(rows(handler)) == 250


def test_the_session_is_for_reading(make, database):
    """``handler.session`` asks the log's database."""
    handler, log = make(database)
    log.info("x")
    flush(handler)
    assert handler.session.execute(sa.select(handler.table.c.msg)).scalars().all() == ["x"]
    handler.session.remove()


def test_secrets_are_masked(make, tmp_path):
    """Message and traceback."""
    handler, log = make(f"sqlite:///{tmp_path}/logs.db")
    try:
        raise ValueError("password=s3cr3t-canary")  # noqa: TRY301 # the point
    except ValueError:
        log.exception("token=%s", "s3cr3t-canary")
    handler.flush()
    assert "s3cr3t-canary" not in str(rows(handler))


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (({},), "url"),
        (("postgresql://x",), "first argument"),
        (({"url": "no url"},), "url"),
        (({"url": "klingon://x"},), "klingon"),
        (({"url": "sqlite://", "table": "x"},), "the first argument.*tablename"),
        (({"url": "sqlite://", "tableargs": "x"},), "tableargs"),
        (({"url": "sqlite://"}, "("), "does_not_contain_expression"),
        (({"url": "sqlite://"}, "", "["), "contains_expression"),
    ],
)
def test_bad_arguments_are_named(args, named):
    """At the start, with what would be right."""
    with pytest.raises(ConfigurationError, match=f"SQLAlchemyHandler.*{named}"):
        SQLAlchemyHandler(*args)


def test_no_secret_in_the_error_of_a_bad_url():
    """A URL has a password."""
    with pytest.raises(ConfigurationError) as caught:
        SQLAlchemyHandler({"url": "klingon://user:s3cr3t-canary@host/db"})
    assert "s3cr3t-canary" not in str(caught.value)
