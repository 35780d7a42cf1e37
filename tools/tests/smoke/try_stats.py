"""Try c2c-stats."""

import contextlib
from collections.abc import Callable
from typing import Any

from call import NOBODY, add_view, configure, get

import c2c_stats


def _metrics_after(view: Callable[[Any], Any]) -> str:
    config = configure("c2c_stats")
    add_view(config, view)
    app = config.make_wsgi_app()
    assert get(app, "/try").status == 200
    answer = get(app, "/metrics")
    assert answer.status == 200, answer
    return answer.text


def _measured(_: object) -> int:
    with c2c_stats.timer_context(["a", "timer"]):
        c2c_stats.increment_counter(["parcels"], 12)
    return 42


def alone() -> None:
    """Measure a request, and something of one's own."""
    found = _metrics_after(_measured)
    assert "c2c_route_seconds" in found, found
    assert "parcels" in found, found


def sql() -> None:
    """Measure a statement."""
    from sqlalchemy import create_engine, text

    def view(_: object) -> Any:
        with create_engine("sqlite://").connect() as connection:
            return connection.scalar(text("SELECT 42"))

    assert "c2c_sql_seconds_count" in _metrics_after(view)


def requests() -> None:
    """Measure a call to a server that does not answer."""
    import requests as library

    def view(_: object) -> int:
        with contextlib.suppress(library.ConnectionError):
            library.get(f"http://{NOBODY}/", timeout=30)
        return 42

    assert 'status="999"' in _metrics_after(view)


def redis() -> None:
    """Measure a command to a Redis that does not answer."""
    import redis as library

    def view(_: object) -> int:
        with contextlib.suppress(library.ConnectionError):
            library.Redis.from_url(f"redis://{NOBODY}").ping()
        return 42

    assert "c2c_redis_seconds_count" in _metrics_after(view)
