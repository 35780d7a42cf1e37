"""Simplified SQL."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c_stats._spies.sqlalchemy import simplify

CASES = [
    ("SELECT a, b\n  FROM t\tWHERE c", "SELECT FROM t WHERE c"),
    ("INSERT INTO t (a, b) VALUES (%(a)s, %(b)s) RETURNING t.id", "INSERT INTO t"),
    ("INSERT INTO t(a) VALUES (1)", "INSERT INTO t"),
    ("INSERT INTO t SELECT a FROM b", "INSERT INTO t SELECT FROM b"),
    ("UPDATE t SET a=%(a)s, b=(SELECT 1 WHERE true) WHERE t.id = 5", "UPDATE t SET WHERE t.id = ?"),
    ("SELECT a FROM t WHERE b IN (1, 2, 3) AND c", "SELECT FROM t WHERE b IN (?) AND c"),
    ("SELECT a FROM t WHERE b IN ((1, 'x)'), (2, 'it''s)')) OR c", "SELECT FROM t WHERE b IN (?) OR c"),
    ("SELECT a FROM t WHERE b IN(%s,%s)", "SELECT FROM t WHERE b IN (?)"),
    ("SELECT a FROM t WHERE b NOT IN (SELECT c FROM d)", "SELECT FROM t WHERE b NOT IN (?)"),
    ("SELECT a FROM t WHERE b = %(b_1)s", "SELECT FROM t WHERE b = ?"),
    ("SELECT a FROM t WHERE b = %s", "SELECT FROM t WHERE b = ?"),
    ("SELECT a FROM t WHERE b = :b_1", "SELECT FROM t WHERE b = ?"),
    ("SELECT a FROM t WHERE b = ?", "SELECT FROM t WHERE b = ?"),
    ("SELECT a FROM t WHERE b = $1::VARCHAR", "SELECT FROM t WHERE b = ?::VARCHAR"),
    ("SELECT a FROM t WHERE b = @b", "SELECT FROM t WHERE b = ?"),
    ("SELECT a FROM t1 WHERE b2 = -1.5e10 LIMIT 10", "SELECT FROM t1 WHERE b2 = -? LIMIT ?"),
    (
        "SELECT a FROM t WHERE b = 'it''s' AND c = E'\\'' AND d = $$x'y$$",
        "SELECT FROM t WHERE b = ? AND c = ? AND d = ?",
    ),
    ('SELECT a FROM t WHERE "Col 1" = $tag$ $$ $tag$', 'SELECT FROM t WHERE "Col 1" = ?'),
    ("SELECT extract(year FROM d), a IS DISTINCT FROM b FROM t", "SELECT FROM t"),
    ("SELECT (SELECT max(a) FROM b) FROM c", "SELECT FROM c"),
    ("SELECT a FROM (SELECT b FROM c WHERE d = 1) AS e", "SELECT FROM (SELECT FROM c WHERE d = ?) AS e"),
    ("SELECT a FROM t UNION SELECT b FROM u", "SELECT FROM t UNION SELECT FROM u"),
    ("WITH q AS (SELECT a FROM b) SELECT c FROM q", "WITH q AS (SELECT FROM b) SELECT FROM q"),
    ("SELECT a -- it's\nFROM /* ' */ t", "SELECT FROM t"),
    ("select 1", "select ?"),
    ("SET search_path = x", "SET search_path = x"),
    ("DELETE FROM t WHERE a = 1", "DELETE FROM t WHERE a = ?"),
    ("SAVEPOINT sa_savepoint_12", "SAVEPOINT sa_savepoint"),
    ("SELECT 'never ends", "SELECT ?"),
    ("", ""),
]


@pytest.mark.parametrize(("statement", "expected"), CASES)
def test_cases(statement, expected):
    """Each rule, with what it must not take for it."""
    assert simplify(statement) == expected


@given(st.text(st.sampled_from("\n'\"`(),a1") | st.characters()))
def test_any_text(text):
    """Any text gives a short one, on one line but for quoted names, which are kept as they are."""
    assert len(simplify(text)) <= 450
    assert "\n" not in simplify(re.sub('["`]', "", text))


@pytest.mark.parametrize(
    "piece", ["(", "'", "SELECT ", "SELECT (", "SET ", "IN (", "/*", "$a$", '"', "a,", "1 ", "%(x)s"]
)
def test_no_text_takes_long(piece):
    """Megabytes of what could trouble a parser are read in no time."""
    start = time.perf_counter()
    simplify(piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - start < 20
