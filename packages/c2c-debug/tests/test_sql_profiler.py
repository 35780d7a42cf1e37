"""The SQL profiler with a real PostgreSQL and both drivers."""

import logging
import os
import re
import sys
import threading
import time
import traceback

import pytest
import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import Pool

from c2c_debug.sql.profiler import SqlProfiler
from c2c_debug.sql.report import application_line

DRIVERS = ("psycopg2", "psycopg")


@pytest.fixture
def profiler(caplog):
    """Give a profiler that is switched on, with its log."""
    caplog.set_level(logging.INFO, logger="c2c_debug.sql_profiler")
    one = SqlProfiler()
    one.switch("analyze")
    yield one
    one.switch(None)


@pytest.fixture(params=DRIVERS)
def engine(request, postgres):
    """Give an engine whose pool has one connection, on a database with a table."""
    engine = sa.create_engine(
        sa.make_url(postgres.url).set(drivername=f"postgresql+{request.param}"),
        pool_size=1,
        max_overflow=0,
        pool_timeout=60,
    )
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS things CASCADE"))
        connection.execute(sa.text("CREATE TABLE things (id serial PRIMARY KEY, name text)"))
        connection.execute(sa.text("INSERT INTO things (name) SELECT 'thing ' || i FROM generate_series(1, 100) i"))
    yield engine
    engine.dispose()


def _said(caplog, contains=""):
    """Return what was logged of statements with this text, and forget it."""
    found = [record.getMessage() for record in caplog.records if contains in record.getMessage()]
    caplog.clear()
    return found


def test_a_select_is_explained_once_with_its_parameters(engine, profiler, caplog):
    """Statement, parameters and plan go to the log at INFO, the first time only."""
    statement = sa.text("SELECT name FROM things WHERE id = :id AND name LIKE :name")
    with engine.connect() as connection:
        assert connection.execute(statement, {"id": 7, "name": "thing%"}).all() == [("thing 7",)]
        connection.execute(statement, {"id": 8, "name": "thing%"}).all()
    (found,) = _said(caplog, "FROM things")
    assert "%(id)s" in found
    assert "'id': 7" in found
    assert re.search(r"Index Cond: \(id = '?7\b", found)
    assert "actual time=" in found
    assert "rows=1" in found


def test_mode_explain_does_not_run_it(engine, caplog, profiler):
    """The plan is there, without actual times."""
    profiler.switch("explain")
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT name FROM things WHERE id = 3")).all()
    (found,) = _said(caplog, "FROM things")
    assert "cost=" in found
    assert "actual time=" not in found


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (sa.text("SELECT name FROM things WHERE name LIKE '%ing 1%' AND id % 2 = :rest"), {"rest": 1}),
        (sa.text("SELECT name FROM things WHERE name LIKE '%ing 1%'"), {}),
        (sa.text("WITH few AS (SELECT * FROM things WHERE id < :id) SELECT count(*) FROM few"), {"id": 5}),
        (
            sa.text("SELECT id FROM things WHERE id IN :ids").bindparams(sa.bindparam("ids", expanding=True)),
            {"ids": [1, 2]},
        ),
        (sa.select(sa.column("id")).select_from(sa.table("things")).where(sa.column("id") == 5).limit(3), {}),
        (sa.text("(SELECT id FROM things WHERE id = 1) UNION ALL (SELECT 2)"), {}),
        (sa.text("SELECT id FROM things WHERE name = :name"), {"name": None}),
        (sa.text("SELECT id FROM things WHERE name = :name"), {"name": "quote ' and % and é"}),
        (sa.text("SELECT now(), count(*) FROM things"), {}),
    ],
    ids=str,
)
def test_all_sorts_of_selects(engine, profiler, caplog, statement, parameters):
    """Percent signs, expanding lists, WITH, unions, nulls: all are explained, and give what they give without."""
    with engine.connect() as connection:
        connection.execute(statement, parameters).all()
    (found,) = _said(caplog, "things")
    assert "actual time=" in found


def test_parameters_by_position_and_none(engine, profiler, caplog):
    """What goes to the driver as it is, by position or without parameters, percent signs and all, is explained so."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT name FROM things WHERE id = %s AND name LIKE '%%ing%%'", (4,)).all()
        assert found == [("thing 4",)]
        assert re.search(r"Index Cond: \(id = '?4\b", _said(caplog, "FROM things")[0])
        bare = connection.execution_options(no_parameters=True)
        assert bare.exec_driver_sql("SELECT name FROM things WHERE name LIKE '%ing 4'").all() == [("thing 4",)]
        assert "actual time=" in _said(caplog, "FROM things")[0]


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SELECT id FROM things WHERE id = 1 FOR UPDATE", "it locks rows"),
        ("SELECT nextval('things_id_seq')", "it calls a volatile function: nextval"),
        ("SELECT RANDOM(), id FROM things", "it calls a volatile function: random"),
        ("WITH d AS (DELETE FROM things WHERE id = 9 RETURNING id) SELECT * FROM d, (SELECT 'things') x", "it writes"),
        ("SELECT * FROM numbered_things", "it calls a volatile function: nextval"),
        ("SELECT * FROM locked_things", "it locks rows or writes"),
    ],
)
def test_what_is_left_alone(engine, profiler, caplog, statement, why):
    """What locks, writes, or calls a volatile function, in a view too, runs once only; the log says why."""
    with engine.begin() as connection:
        connection.execute(
            sa.text("CREATE VIEW numbered_things AS SELECT nextval('things_id_seq') n FROM things LIMIT 1")
        )
        connection.execute(sa.text("CREATE VIEW locked_things AS SELECT * FROM things FOR UPDATE"))
        before = connection.execute(sa.text("SELECT last_value FROM things_id_seq")).scalar()
        caplog.clear()
        connection.execute(sa.text(statement)).all()
        (found,) = _said(caplog, "things")
        assert f"not explained: {why}" in found
        after = connection.execute(sa.text("SELECT last_value FROM things_id_seq")).scalar()
        assert after - before == ("nextval" in why)
        connection.rollback()


def test_the_transaction_stays_as_it_was(engine, profiler, caplog):
    """What was written before is there, and is committed; a pool of one is enough."""
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO things (name) VALUES ('mine')"))
        assert connection.execute(sa.text("SELECT count(*) FROM things WHERE name = 'mine'")).scalar() == 1
        connection.execute(sa.text("INSERT INTO things (name) VALUES ('mine')"))
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM things WHERE name LIKE 'mine'")).scalar() == 2
    assert len(_said(caplog, "actual time=")) == 2


def test_an_aborted_transaction_stays_aborted(engine, profiler, caplog):
    """A statement that fails is not explained, and the error that the application gets is its own."""
    with engine.connect() as connection:
        with pytest.raises(sa.exc.ProgrammingError, match="no_such"):
            connection.execute(sa.text("SELECT 1 FROM no_such"))
        with pytest.raises(sa.exc.InternalError, match="aborted"):
            connection.execute(sa.text("SELECT 2 FROM things"))
        connection.rollback()
        assert connection.execute(sa.text("SELECT 3 FROM things LIMIT 1")).scalar() == 3
    assert len(_said(caplog, "plan:")) == 1


def test_a_nested_transaction_is_undisturbed(engine, profiler, caplog):
    """Within the application's own savepoint, which it rolls back."""
    with engine.begin() as connection:
        with connection.begin_nested() as nested:
            connection.execute(sa.text("DELETE FROM things"))
            assert connection.execute(sa.text("SELECT count(*) FROM things")).scalar() == 0
            nested.rollback()
        assert connection.execute(sa.text("SELECT count(*) c FROM things")).scalar() == 100
    assert len(_said(caplog, "actual time=")) == 2


def test_no_savepoint_is_left(engine, profiler, caplog):
    """The explain's own one is released."""
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT count(*) FROM things"))
        assert _said(caplog, "actual time=")
        with pytest.raises(sa.exc.DatabaseError, match="does not exist"):
            connection.exec_driver_sql("RELEASE SAVEPOINT c2c_explain")


def test_an_explain_takes_a_minute_at_most(engine, profiler):
    """The application's own limit holds where it is lower; its statement runs without ours."""
    said = []

    class Notices(list):
        """Of psycopg2: SQLAlchemy empties its list after each statement."""

        def append(self, notice):
            said.append(notice)

    with engine.begin() as connection:
        raw = connection.connection.dbapi_connection
        if hasattr(raw, "add_notice_handler"):
            raw.add_notice_handler(lambda notice: said.append(notice.message_primary))
        else:
            raw.notices = Notices()
        # STABLE by its word, and so run by EXPLAIN ANALYZE.
        connection.execute(
            sa.text(
                "CREATE FUNCTION pg_temp.limit_of(n int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN "
                "RAISE NOTICE USING MESSAGE = 'limit ' || current_setting('statement_timeout'); RETURN n; END $$"
            )
        )
        connection.execute(sa.text("SELECT pg_temp.limit_of(id) FROM things WHERE id = 1"))
        connection.execute(sa.text("SET LOCAL statement_timeout = '5s'"))
        connection.execute(sa.text("SELECT pg_temp.limit_of(id) FROM things WHERE id = 2"))
    limits = [one.split("limit ")[1].strip() for one in said if "limit " in one]
    assert limits == ["0", "1min", "5s", "5s"]


def test_autocommit(engine, profiler, caplog):
    """Without a transaction the explain has one of its own, and none is left."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM things")).scalar() == 100
        connection.execute(sa.text("INSERT INTO things (name) VALUES ('kept')"))
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM things WHERE name = 'kept'")).scalar() == 1
    assert len(_said(caplog, "actual time=")) == 2


def test_a_server_side_cursor(engine, profiler, caplog):
    """A result that is streamed stays whole while its statement is explained."""
    with engine.connect() as connection:
        result = connection.execution_options(stream_results=True).execute(sa.text("SELECT id FROM things ORDER BY id"))
        assert [row.id for row in result] == list(range(1, 101))
    assert len(_said(caplog, "actual time=")) == 1


def test_an_explain_that_fails_is_said(engine, profiler, caplog):
    """Where the explain raises, it is said, and the transaction is as before."""
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TEMPORARY TABLE gone (id int) ON COMMIT DROP"))
        # True the first time only: the function is STABLE by its word, and lies.
        connection.execute(
            sa.text(
                "CREATE FUNCTION pg_temp.once() RETURNS int LANGUAGE plpgsql STABLE AS $$ DECLARE n int; BEGIN "
                "n := nextval('things_id_seq'); IF n > 101 THEN RAISE 'no more'; END IF; RETURN n; END $$"
            )
        )
        assert connection.execute(sa.text("SELECT pg_temp.once()")).scalar() == 101
        assert connection.execute(sa.text("SELECT count(*) FROM gone")).scalar() == 0
    assert [line for line in _said(caplog, "can't be explained") if "no more" in line]


def test_secrets_in_parameters_are_masked(engine, profiler, caplog):
    """A parameter that is called a password, or looks like a secret, is not in the log."""
    with engine.connect() as connection:
        statement = "SELECT id FROM things WHERE name = :password OR name = :url"
        connection.execute(sa.text(statement), {"password": "hunter2", "url": "postgresql://me:hunter3@host/x"}).all()
    (found,) = _said(caplog, "FROM things")
    assert "'password': '***'" in found
    assert "hunter2" not in found
    assert "hunter3" not in found


def test_the_report_counts(engine, profiler):
    """Count, total, mean, maximum, rows and the application's line."""
    with engine.connect() as connection:
        for number in range(1, 6):
            connection.execute(sa.text("SELECT id FROM things WHERE id <= :id"), {"id": number}).all()
        connection.execute(sa.text("INSERT INTO things (name) VALUES (:name)"), [{"name": "a"}, {"name": "b"}])
    found = {one["statement"].split()[0]: one for one in profiler.statements.answer()["statements"]}
    assert found["SELECT"]["count"] == 5
    assert found["SELECT"]["rows"] == 15
    assert 0 < found["SELECT"]["max"] <= found["SELECT"]["total"]
    file, _, rest = found["SELECT"]["line"].partition(":")
    assert file == __file__
    assert rest.endswith(" test_the_report_counts")
    assert found["INSERT"]["count"] == 1
    assert found["INSERT"]["rows"] == 2


def test_the_line_is_not_one_that_a_library_made():
    """Code without a file, and that of the packages between the application and the database, is passed over."""
    found = {}
    space = {"application_line": lambda: found.update(line=application_line(sys._getframe(1)))}
    for file in ("<sqlalchemy generated go() wrapper>", "<string>", "/here/c2c_db/_session.py"):
        exec(compile("application_line()", file, "exec"), dict(space))
        assert found["line"].startswith(f"{__file__}:")
        assert found["line"].endswith(" test_the_line_is_not_one_that_a_library_made")


def test_the_line_is_never_pythons_own():
    """In a thread whose target is the library's own the library is named, not ``threading.py``; without one nobody."""
    found = []
    code = compile("def run():\n    found.append(line())", "/x/site-packages/lib/work.py", "exec")
    space = {"found": found, "line": lambda: application_line(sys._getframe(1))}
    exec(code, space)
    for target in (space["run"], lambda: found.append(application_line(sys._getframe(1)))):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert found == ["/x/site-packages/lib/work.py:2 run", None]


def test_waiting_for_a_connection_is_counted(engine, profiler, eventually):
    """With one connection in the pool, the second thread's wait is there, at its statement and in all."""
    got = threading.Event()

    def second():
        got.wait(60)
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 'the second'"))
            connection.execute(sa.text("SELECT 'the third'"))

    def in_the_pool():
        frames = traceback.walk_stack(sys._current_frames().get(thread.ident))
        return any(frame.f_code.co_filename.endswith("/sqlalchemy/util/queue.py") for frame, _ in frames)

    thread = threading.Thread(target=second)
    thread.start()
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 'the first'"))
        got.set()
        eventually(in_the_pool)
        time.sleep(0.3)
    thread.join(60)
    answer = profiler.statements.answer()
    waits = {one["statement"]: one["wait"] for one in answer["statements"]}
    assert waits["SELECT 'the second'"] >= 0.3
    assert waits["SELECT 'the third'"] == 0
    assert answer["connection_wait"]["count"] == 2
    assert answer["connection_wait"]["max"] == pytest.approx(max(waits.values()))
    assert answer["connection_wait"]["total"] == pytest.approx(sum(waits.values()))


def test_off_means_that_nothing_is_replaced():
    """SQLAlchemy's methods are what they were, before, and after being on."""

    def methods():
        return [
            DefaultDialect.do_execute,
            DefaultDialect.do_executemany,
            DefaultDialect.do_execute_no_params,
            Pool.connect,
        ]

    before = methods()
    profiler = SqlProfiler()
    assert methods() == before
    profiler.switch("analyze")
    profiler.switch("analyze")
    assert all(one is not other for one, other in zip(methods(), before, strict=True))
    profiler.switch(None)
    assert methods() == before


def test_other_databases_are_counted_and_not_explained(profiler, caplog):
    """SQLite has its place in the report, and the log says that it is not explained."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT 1 WHERE :a = 2"), {"a": 2}).scalar() == 1
    engine.dispose()
    assert "only PostgreSQL" in _said(caplog, "SELECT 1")[0]
    assert profiler.statements.answer()["statements"][0]["count"] == 1


def test_a_logger_that_hides_plans_explains_nothing(engine, caplog):
    """With the logger above INFO no plan is made; that it hides them is said when the profiler is switched on."""
    caplog.set_level(logging.WARNING, logger="c2c_debug.sql_profiler")
    profiler = SqlProfiler()
    profiler.switch("analyze")
    try:
        assert "set it to INFO" in _said(caplog)[0]
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT count(*) FROM things"))
            caplog.set_level(logging.INFO, logger="c2c_debug.sql_profiler")
            connection.execute(sa.text("SELECT count(*) FROM things"))
        assert len(_said(caplog, "plan:")) == 1
    finally:
        profiler.switch(None)


def test_statements_are_bounded(profiler):
    """Of thousands of different statements, those that took the most time are kept."""
    profiler.statements.add("SELECT 'slow'", 100.0, 1)
    for number in range(5_000):
        profiler.statements.add(f"SELECT {number}", 0.001, 1)
    answer = profiler.statements.answer()
    assert len(answer["statements"]) <= 1_000
    assert answer["dropped"] + len(answer["statements"]) == 5_001
    assert any(one["statement"] == "SELECT 'slow'" for one in answer["statements"])


def test_what_is_explained_once_is_bounded(profiler):
    """Of thousands of statements, which no two are the same, the newest are known."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        for number in range(1_100):
            connection.exec_driver_sql(f"SELECT {number}")
    engine.dispose()
    assert len(profiler._seen) == 1_000
    assert "SELECT 1099" in profiler._seen


def test_a_dialects_own_method_that_calls_its_parents_is_one_statement():
    """It is counted once."""
    engine = sa.create_engine("sqlite://")

    class Own(type(engine.dialect)):
        supports_statement_cache = True

        def do_execute(self, cursor, statement, parameters, context=None):
            super().do_execute(cursor, statement, parameters, context)

    engine.dialect.__class__ = Own
    profiler = SqlProfiler()
    profiler.switch("explain")
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    finally:
        profiler.switch(None)
        engine.dispose()
    assert [one["count"] for one in profiler.statements.answer()["statements"]] == [1]


def test_a_forked_child_begins_anew(profiler):
    """What its parent ran it did not run."""
    profiler.statements.add("SELECT 'the parent'", 1.0, 1)
    pid = os.fork()
    if pid == 0:
        os._exit(len(profiler.statements.answer()["statements"]))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(profiler.statements.answer()["statements"]) == 1


def test_nothing_is_said_under_the_lock(eventually):
    """A handler that switches the profiler itself, when it is told that it is on, blocks nobody."""
    log = logging.getLogger("c2c_debug.sql_profiler")
    profiler = SqlProfiler()

    class Switching(logging.Handler):
        def emit(self, record):
            profiler.switch(None)

    handler, level = Switching(), log.level
    log.addHandler(handler)
    log.setLevel(logging.WARNING)
    try:
        thread = threading.Thread(target=profiler.switch, args=("analyze",), daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        assert profiler.mode is None
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        profiler.switch(None)
