"""What a request did, added up in the thread that serves it."""

import threading


class Totals(threading.local):
    """``sql`` = [statements, seconds] of this thread since it began (of this greenlet, where threads are greenlets)."""

    def __init__(self) -> None:
        self.sql: list[float] = [0, 0.0]


TOTALS = Totals()
"""One a process: threads keep their own numbers in it."""
