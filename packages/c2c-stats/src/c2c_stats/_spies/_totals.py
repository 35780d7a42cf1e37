"""What a request did, added up in the thread, greenlet or task that serves it."""

from contextvars import ContextVar

SQL: ContextVar[list[float]] = ContextVar("c2c_stats_sql")
"""[statements, seconds] since the request began; not set outside of requests."""
