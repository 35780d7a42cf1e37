"""Metrics of requests, rendering and SQL."""

from c2c_compat._include import including

init = includeme = including("c2c_stats")


def init_db_spy() -> None:
    """Do nothing: SQL is measured wherever metrics are."""
