"""What can be told of a statement from its text: PostgreSQL's lexical structure (documentation, chapter 4.1)."""

import re

NO_SELECT = "it is no SELECT"

# What holds no words of SQL: comments, and texts (also E'...' and $tag$...$tag$). A quoted name is none of these,
# whatever is in it. One without an end goes to the text's own: each sign is looked at once.
_OPAQUE = re.compile(
    r"""
    (?P<name>"(?:[^"]|"")*+(?:"|\Z))
    | --[^\n]*
    | /\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)
    | \b[eE]'(?:[^'\\]|\\.|'')*+(?:'|\\?\Z)
    | '(?:[^']|'')*+(?:'|\Z)
    | (?<![\w$])\$(?P<tag>(?:[A-Za-z_]\w*+)?+)\$.*?(?:\$(?P=tag)\$|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTED_NAME = re.compile(r'"((?:[^"]|"")*+)(?:"|\Z)')
_SELECT = re.compile(r"(?:SELECT|WITH)\b", re.IGNORECASE)
_LOCKS = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+UPDATE|UPDATE|KEY\s+SHARE|SHARE)\b", re.IGNORECASE)
_WRITES = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|INTO)\b", re.IGNORECASE)
# A letter, an underscore, or anything beyond ASCII; written as what it is not, which compiles in a tenth of the time.
_CALL = re.compile(r"(?<![\w$])([^\x00-@\[-^`{-\x7f][\w$]*+)\"?\s*+\(")


def words(statement: str) -> str:
    """Return the statement without comments and texts: whatever is left is SQL."""
    return _OPAQUE.sub(lambda match: match["name"] or " ", statement)


def simplified(statement: str) -> str:
    """Return a statement on one line, without comments, and with ``?`` for its texts."""
    return " ".join(_OPAQUE.sub(_without_values, statement).split())


def _without_values(match: re.Match[str]) -> str:
    return match["name"] or (" " if match[0].startswith(("--", "/*")) else "?")


def reads(statement: str) -> str | None:
    """Return None where a statement only reads (``SELECT``, ``WITH ... SELECT``), else why it is left alone."""
    text = words(statement)
    bare = _QUOTED_NAME.sub(" Q ", text)
    if not _SELECT.match(bare.lstrip(" \t\r\n\f\v(")):
        return NO_SELECT
    if ";" in bare.rstrip().rstrip(";"):
        return "it is several statements"
    if _LOCKS.search(bare):
        return "it locks rows"
    if _WRITES.search(bare):
        return "it writes"
    return None


def functions(text: str) -> set[str]:
    """Return the names of all that looks like a call in a statement or a plan, as PostgreSQL folds them."""
    text = " ".join(words(text).split())
    found = {name.lower() for name in _CALL.findall(_QUOTED_NAME.sub(" Q ", text))}
    quoted = (match for match in _QUOTED_NAME.finditer(text) if text.startswith(("(", " ("), match.end()))
    return found | {match[1].replace('""', '"') for match in quoted}
