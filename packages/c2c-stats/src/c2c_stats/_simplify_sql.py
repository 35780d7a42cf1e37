"""From the text of a SQL statement to what it does, without what differs from call to call.

    SELECT a, b FROM t WHERE a IN (%(a_1)s, %(a_2)s)  ->  SELECT FROM t WHERE a IN (?)

Read word by word, in one pass, by PostgreSQL's rules (documentation, 4.1. Lexical Structure), so that no text can make
it take long.
"""

import re

LONGEST = 8192
"""Characters of a statement that are looked at."""
_SHOWN = 450

_TOKEN = re.compile(
    r"""
    (?P<space>(?:\s|--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|\Z))+)
  | (?P<string>(?:\b[EeBbXxNn]|\b[Uu]&)?'(?:[^'\\]|''|\\.)*(?:'|\Z)
      |\$(?P<tag>[A-Za-z_]\w*)?\$.*?(?:\$(?P=tag)\$|\Z)|\$\$.*?(?:\$\$|\Z))
  | (?P<bind>%\(\w+\)s|%s|\?(?![|&?])|(?<![:\w]):[A-Za-z_]\w*|(?<!\w)\$\d+|(?<!\w)@[A-Za-z_]\w*)
  | (?P<number>(?<![\w.])(?:0[xXoObB][0-9A-Fa-f_]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?!\w))
  | (?P<name>"(?:[^"]|"")*(?:"|\Z)|`[^`]*(?:`|\Z))
  | (?P<savepoint>sa_savepoint_\d+)
  | (?P<word>\w[\w$]*)
  | (?P<mark>::|.)
    """,
    re.VERBOSE | re.DOTALL,
)
# SQLAlchemy numbers them.
_SAVEPOINT = "sa_savepoint"
_ENDS = {"SELECT": "FROM", "SET": "WHERE"}
_LITERALS = frozenset({"string", "bind", "number"})


def simplify(statement: str) -> str:
    """Return the statement without white space, literals, parameters, columns and lists; 450 characters at most."""
    tokens = _fold_lists(_tokens(statement[:LONGEST]))
    text = _join(_without_columns(tokens))
    return text[:_SHOWN].strip()


def _tokens(statement: str) -> list[str]:
    """Split into words; ``" "`` stands for white space and comments, ``?`` for each literal and parameter."""
    found: list[str] = []
    for match in _TOKEN.finditer(statement):
        kind = match.lastgroup if match.lastgroup != "tag" else "string"
        if kind == "space":
            if found and found[-1] != " ":
                found.append(" ")
        else:
            found.append("?" if kind in _LITERALS else _SAVEPOINT if kind == "savepoint" else match[0])
    return found


def _fold_lists(tokens: list[str]) -> list[str]:
    """Make ``IN (...)`` be ``IN (?)``, whatever is between the parentheses."""
    found: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        found.append(token)
        at += 1
        if token.upper() != "IN":
            continue
        opening = at + 1 if at < len(tokens) and tokens[at] == " " else at
        if opening < len(tokens) and tokens[opening] == "(":
            found += [" ", "(", "?", ")"]
            at = _closing(tokens, opening) + 1
    return found


def _closing(tokens: list[str], opening: int) -> int:
    depth = 0
    for at in range(opening, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[at], 0)
        if depth == 0:
            return at
    return len(tokens)


def _without_columns(tokens: list[str]) -> list[str]:
    """Leave out what is between SELECT and its FROM, SET and its WHERE, and all after INSERT INTO t (."""
    found: list[str] = []
    # For each open parenthesis: the word that ends a list of columns, and where this list begins.
    lists: list[tuple[str, int]] = [("", 0)]
    before = ""
    inserting = False
    for piece in tokens:
        word = piece.upper()
        if piece == "(":
            if inserting:
                break
            lists.append(("", 0))
        elif piece == ")":
            if len(lists) > 1:
                lists.pop()
        elif word == lists[-1][0] and before != "DISTINCT":
            del found[lists[-1][1] :]
            lists[-1] = ("", 0)
        found.append(piece)
        if word in _ENDS:
            lists[-1] = (_ENDS[word], len(found))
            inserting = False
        inserting = inserting or (word == "INTO" and before == "INSERT")
        if piece != " ":
            before = word
    return found


def _join(tokens: list[str]) -> str:
    """Write words again, with one space where there was white space, and between words that lost it."""
    text: list[str] = []
    for piece in tokens:
        if text and _is_word(piece) and _is_word(text[-1]):
            text.append(" ")
        if piece == " " and text and text[-1] == " ":
            continue
        text.append(piece)
    return "".join(text)


def _is_word(piece: str) -> bool:
    return piece[0].isalnum() or piece[0] in '_"`'
