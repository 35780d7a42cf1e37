"""One record on its way to a database."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """What a row of the log table says; ``created`` is in seconds since the epoch."""

    logger: str
    level: str
    trace: str | None
    msg: str
    created: float


WRITING = threading.local()
"""``WRITING.on`` is true in threads that write rows: what they log themselves is not for a log table."""
