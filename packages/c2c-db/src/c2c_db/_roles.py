"""The two sides of a database: what a session is for."""

import enum


class Role(enum.StrEnum):
    """The side a session works on: ``primary`` takes writes, ``replica`` only reads."""

    PRIMARY = "primary"
    REPLICA = "replica"
