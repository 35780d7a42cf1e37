"""What a SQL text does: does it write, and could a transaction go on elsewhere after it?

A text is read once, in time linear in its length: each pattern takes what it has begun, and gives nothing back.
"""

import enum
import re
from collections.abc import Iterator
from functools import lru_cache


class Effect(enum.IntEnum):
    """What a statement leaves behind: nothing, who knows, or a change."""

    READS = 0
    UNSURE = 1
    WRITES = 2


# Longer texts are not remembered.
_SHORT = 8_000
# What is no SQL, but stands in one: literals, quoted names, comments. One that does not end goes to the text's end.
_QUOTED = re.compile(r"""'[^']*+'?|"[^"]*+"?|--[^\n]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/)?""")
# Where the above may be read otherwise by the server: escapes, dollar quotes, comments in comments or for MySQL alone.
_ODD = re.compile(r"\\|\$\w*+\$|/\*(?:!|[^*/]*+(?:\*(?!/)[^*/]*+|/(?!\*)[^*/]*+)*+/\*)")
_NAME = '"'  # stands for a quoted name
# A word, with the parenthesis that makes it a call; or the end of a statement.
_WORD = re.compile(r'([^\W\d][\w.$]*+|")(\s*+\()?|;')


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WRITING = _words_of(
    "INSERT UPDATE DELETE MERGE REPLACE UPSERT CREATE ALTER DROP TRUNCATE COMMENT GRANT REVOKE REFRESH IMPORT COPY "
    "COMMIT END PREPARE"
)
"""First words of statements that change data, or (the last three) end the transaction, which then can't be asked."""
_READING = _words_of("SELECT WITH VALUES TABLE SHOW SET RESET DECLARE FETCH MOVE CLOSE PRAGMA EXPLAIN DISCARD")
_PLAIN = _words_of("SELECT WITH VALUES TABLE SHOW")
# Within a statement that begins like a read: DML in a CTE, SELECT ... INTO, EXPLAIN ANALYZE.
_DOUBTFUL = _words_of("INSERT UPDATE DELETE MERGE INTO ANALYZE ANALYSE")
# What may stand before a parenthesis and calls nothing, and functions of the server that write nothing.
_CALLS_NOTHING = _words_of(
    "ALL AND ANY ARRAY AS BETWEEN BY CASE CAST CROSS DISTINCT ELSE END EXCEPT EXISTS FETCH FILTER FROM GROUP GROUPING "
    "HAVING IN INNER INTERSECT INTERVAL IS JOIN LATERAL LEFT LIKE ILIKE LIMIT MATERIALIZED NATURAL NOT OFFSET ON OR "
    "ORDER OUTER OVER PARTITION RIGHT ROLLUP CUBE ROW SELECT SETS SIMILAR SOME THEN TO UNION USING VALUES WHEN WHERE "
    "WITH WITHIN BIT CHAR CHARACTER DECIMAL FLOAT NUMERIC TIME TIMESTAMP TIMESTAMPTZ VARCHAR VARYING VARBINARY "
    "ABS AVG BOOL_AND BOOL_OR CEIL COALESCE CONCAT COUNT CURRENT_DATABASE CURRENT_SETTING DATE_PART DATE_TRUNC "
    "DENSE_RANK EXTRACT FLOOR GREATEST IFNULL JSON_AGG JSONB_AGG LEAST LENGTH LOWER LPAD LTRIM MAX MIN MOD NOW NULLIF "
    "PG_CURRENT_WAL_LSN PG_IS_IN_RECOVERY PG_LAST_WAL_REPLAY_LSN RANK ROUND ROW_NUMBER RTRIM STRING_AGG ARRAY_AGG "
    "SUBSTR SUBSTRING SUM TO_CHAR TO_DATE TO_JSON TRIM UNNEST GENERATE_SERIES UPPER VERSION"
)
# Settings, locks and snapshots live in the server's session, and would be lost.
_STATE = re.compile(r"set_config|advisory|export_snapshot|setseed|\bFOR\s++(?:UPDATE|SHARE)\b", re.IGNORECASE)


def effect_of(text: str) -> Effect:
    """Return what a text of one or several statements does; in doubt ``UNSURE``, never ``READS``.

    A view or an operator that calls a writing function is not seen:
    ``zope.sqlalchemy.mark_changed(session)`` says so.
    """
    return _short_effect_of(text) if len(text) <= _SHORT else _effect_of(text)


def _effect_of(text: str) -> Effect:
    effect = Effect.UNSURE if _ODD.search(text) else Effect.READS
    for words, calls in _statements(text):
        effect = max(effect, _effect_of_one(words, calls))
        if effect is Effect.WRITES:
            break
    return effect


# The texts of a service are few, and asked about again and again.
_short_effect_of = lru_cache(500)(_effect_of)


def _statements(text: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the words of each statement, in capitals, and whether it calls a function that may do anything.

    A quoted name is one word, literals and comments are none.
    """
    words: list[str] = []
    calls = False
    for found in _WORD.finditer(_QUOTED.sub(lambda quoted: _NAME if quoted[0][0] == '"' else " ", text)):
        if found[0] == ";":
            yield words, calls
            words, calls = [], False
        else:
            word = found[1].upper()
            words.append(word)
            calls = calls or (found[2] is not None and word not in _CALLS_NOTHING)
    yield words, calls


def _effect_of_one(words: list[str], calls: bool) -> Effect:
    if not words:
        return Effect.READS
    if words[0] in _WRITING:
        return Effect.WRITES
    return Effect.UNSURE if calls or words[0] not in _READING or not _DOUBTFUL.isdisjoint(words) else Effect.READS


def is_plain_read(text: str) -> bool:
    """Tell whether a READ COMMITTED transaction can go on on another server after this text.

    It can after a plain read. It can't after SET LOCAL, set_config(), locks, or a function called without a FROM, which
    may do any of that (``SELECT set_tenant(5)``): what follows would read with other eyes.
    """
    return len(text) <= _SHORT and _is_plain_read(text)


@lru_cache(500)
def _is_plain_read(text: str) -> bool:
    statements = [statement for statement in _statements(text) if statement[0]]
    if len(statements) != 1 or _STATE.search(text):
        return False
    [(words, calls)] = statements
    return words[0] in _PLAIN and ("FROM" in words or not calls)
