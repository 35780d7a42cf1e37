"""WAL positions (PostgreSQL: pg_lsn): ``16/B374D848`` is the 64-bit number 0x16B374D848."""

import re

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


def parse_lsn(text: str) -> int:
    """Return the position that PostgreSQL writes as two hexadecimal numbers of up to 8 digits.

    Raises:
        ValueError: It is not written so.
    """
    match = _LSN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a WAL position, such as 16/B374D848")
    return int(match[1], 16) << 32 | int(match[2], 16)


def format_lsn(position: int) -> str:
    """Return a position as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
