"""What is told of a statement from its text."""

import time

import pytest

from c2c_debug.sql.explain import functions, reads


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


@pytest.mark.parametrize(
    "unit", ["a", " ", "(", "/*", "'", "''", '"', '""', "$a$", "$$", "$a", "a(", "a (", "-- ", "e'", "\\", "((\t"]
)
@pytest.mark.parametrize("end", ["", "!", "\x00"])
def test_long_texts_take_linear_time(unit, end):
    """A literal of 200 kB, or a comment without an end, stops nobody: seconds are for a very slow machine."""
    begun = time.process_time()
    text = unit * (200_000 // len(unit)) + end
    reads(text)
    reads("SELECT " + text)
    functions(text)
    assert time.process_time() - begun < 10


def test_dollar_quotes_end_where_they_end():
    """What follows a text in dollars is SQL again; a name with dollars in it begins no text."""
    assert reads("SELECT $$it's$$ FROM x FOR UPDATE") == "it locks rows"
    assert reads("SELECT $a$ $$ $a$ FROM x FOR UPDATE") == "it locks rows"
    assert reads("SELECT foo$bar$baz FROM x FOR UPDATE") == "it locks rows"
    assert reads("SELECT $a$ FOR UPDATE $a$") is None
