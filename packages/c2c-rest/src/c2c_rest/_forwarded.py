"""The ``Forwarded`` header (RFC 7239), read by its grammar."""

import re
from collections.abc import Iterator

from c2c_rest._hop import Hop, host_of, node_of, scheme_of

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.6.2
_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'  # RFC 9110, 5.6.4
# A pair, or nothing: both lists may have empty members. White space is allowed where RFC 9110 has it in parameters.
_PAIR = re.compile(rf"[ \t]*(?:({_WORD})=(?:({_WORD})|({_QUOTED})))?[ \t]*(;|,|\Z)")
_ESCAPE = re.compile(r"\\(.)")


def parse_forwarded(text: str) -> tuple[Hop, ...]:
    """Return what each proxy tells, that of the first proxy first; of an element without pairs, nothing.

    Raises:
        ValueError: The header is not what RFC 7239 says, in any of its elements.
    """
    hops = []
    for pairs in _elements(text):
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a parameter stands twice in an element")
        if pairs:
            hops.append(_hop(dict(pairs)))
    if not hops:
        raise ValueError("there is no element")
    return tuple(hops)


def _elements(text: str) -> Iterator[list[tuple[str, str]]]:
    pairs: list[tuple[str, str]] = []
    position = 0
    while True:
        found = _PAIR.match(text, position)
        if found is None:
            raise ValueError(f"not a parameter at character {position + 1}")
        name, token, quoted, end = found.groups()
        if name is not None:
            pairs.append((name.lower(), token if token is not None else _ESCAPE.sub(r"\1", quoted[1:-1])))
        if end != ";":
            yield pairs
            pairs = []
        if not end:
            return
        position = found.end()


def _hop(pairs: dict[str, str]) -> Hop:
    if "by" in pairs:
        node_of(pairs["by"])
    return Hop(
        address=node_of(pairs["for"]) if "for" in pairs else None,
        host=host_of(pairs["host"]) if "host" in pairs else None,
        proto=scheme_of(pairs["proto"]) if "proto" in pairs else None,
    )
