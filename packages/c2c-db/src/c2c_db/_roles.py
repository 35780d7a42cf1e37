"""The two sides of a database: what a session is for."""

import enum


class Role(enum.StrEnum):
    """The side a session works on: ``primary`` takes writes, ``replica`` only reads."""

    __hash__ = str.__hash__  # Enum's own is a call for each look-up

    PRIMARY = "primary"
    REPLICA = "replica"
