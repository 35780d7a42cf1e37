"""What is told of a statement from its text."""

import pytest

from c2c_debug._sql_text import functions, reads


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "  select * from t where a = %(a)s",
        "(SELECT 1) UNION (SELECT 2)",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "-- a comment; FOR UPDATE\nSELECT 1",
        "/* for update; */ SELECT 'insert into t; for update', \"for update\" FROM t;",
        "SELECT $$ DELETE FROM t $$, $a$ ; $a$, E'\\' FOR UPDATE'",
        'SELECT "a--b" FROM t',
        'SELECT last_update, "update" FROM t',
    ],
)
def test_what_reads(statement):
    """SELECT and WITH ... SELECT, whatever their texts and comments say."""
    assert reads(statement) is None


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("INSERT INTO t VALUES (1)", "it is no SELECT"),
        ("", "it is no SELECT"),
        ("SET x = 1", "it is no SELECT"),
        ("EXPLAIN SELECT 1", "it is no SELECT"),
        ("SELECT 1; DELETE FROM t", "it is several statements"),
        ("SELECT 1 FROM t FOR UPDATE", "it locks rows"),
        ("SELECT 1 FROM t for\n no key  update of t", "it locks rows"),
        ("SELECT 1 FROM t FOR SHARE SKIP LOCKED", "it locks rows"),
        ('SELECT "a--b" FROM t FOR UPDATE', "it locks rows"),
        ("SELECT 'a''b' FROM t FOR KEY SHARE", "it locks rows"),
        ("SELECT * INTO u FROM t", "it writes"),
        ("WITH d AS (DELETE FROM t RETURNING id) SELECT * FROM d", "it writes"),
        ("WITH d AS (UPDATE t SET a = 1 RETURNING id) SELECT * FROM d", "it writes"),
    ],
)
def test_what_is_left_alone(statement, why):
    """Everything else, with the reason."""
    assert reads(statement) == why


def test_functions():
    """All that may be a call, as PostgreSQL folds names; not what stands in texts."""
    found = functions("SELECT Count(*), pg_catalog.NextVal ('f(x)'), \"My Fn\"(1), 'no(1)' FROM t -- also_no(1)")
    assert {"count", "nextval", "My Fn"} <= found
    assert not {"f", "no", "also_no"} & found
