"""Look at a connection that lay in the pool before it is used: its server may have been restarted meanwhile."""

import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

_SINCE = "c2c_db.idle_since"
# Seconds; a connection that was used just now is not asked: under load nothing is added.
_TRUSTED = 1.0


def ping_idle(engine: Engine) -> None:
    """Ping connections that were idle; where one is dead, the pool connects anew before the request begins.

    Like ``pool_pre_ping``, which does it at each checkout, and in whose place it stands.
    """
    if engine.dialect.name != "postgresql" or getattr(engine.pool, "_pre_ping", False):
        return

    def checkin(_raw: Any, record: Any) -> None:
        record.info[_SINCE] = time.monotonic()

    def checkout(raw: Any, record: Any, _proxy: Any) -> None:
        since = record.info.get(_SINCE)
        if since is None or time.monotonic() - since < _TRUSTED:
            return
        driver: Any = engine.dialect.dbapi
        try:
            alive = engine.dialect.do_ping(raw)
        except driver.Error as error:
            raise InvalidatePoolError("a connection in the pool was dead") from error
        if not alive:  # as SQLAlchemy before 2.0.5 says it
            raise InvalidatePoolError("a connection in the pool was dead")

    event.listen(engine, "checkin", checkin)
    event.listen(engine, "checkout", checkout)
