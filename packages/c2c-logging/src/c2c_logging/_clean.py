"""Cleaning of what clients send: nothing passes that could split a header, a log line or a SQL string."""

import re

LONGEST = 128
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$&^_|~.+-]+")
"""A field name (RFC 9110, 5.1), without the few characters that have a meaning in shells and SQL."""

# Printable ASCII without what quotes, ends or comments in SQL, shells and HTML: ' " \ ` ; * % $ < >
_BAD = re.compile(r"[^A-Za-z0-9 !#&()+,./:=?@\[\]^_{|}~-]+")


def clean(value: str) -> str:
    """Return what may be kept of an id: printable ASCII, 128 characters at most; empty where nothing is left."""
    if len(value) > LONGEST:
        value = value[: 8 * LONGEST]
    if not (value.isascii() and value.isalnum()):
        value = _BAD.sub("", value).strip()
    return value[:LONGEST].rstrip()
