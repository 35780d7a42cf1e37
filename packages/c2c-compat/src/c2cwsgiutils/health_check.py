"""Health checks, under their old signatures."""

from enum import Enum
from typing import Any

import c2c_health
from c2c_broadcast import BroadcastSettings, ConfigurationError, load
from c2c_compat._include import including

init = includeme = including("c2c_health")


class EngineType(Enum):
    """Which engines of a session are checked."""

    READ_ONLY = 1
    WRITE_ONLY = 2
    READ_AND_WRITE = 3


class JsonCheckException(c2c_health.JsonCheckException):
    """Fail a check, with structured content: ``json`` becomes the failure's ``result``."""

    def json_data(self) -> Any:
        """Return the content."""
        return self.json


class _Engines:
    """The engines of a session that are asked for, as health checks look for them."""

    def __init__(self, session: Any, kind: EngineType) -> None:
        writing = getattr(session, "c2c_rw_bind", None) or getattr(session, "rw_engine", None) or session.get_bind()
        reading = getattr(session, "c2c_ro_bind", None) or getattr(session, "ro_engine", None) or writing
        self.c2c_rw_bind = reading if kind is EngineType.READ_ONLY else writing
        self.c2c_ro_bind = reading if kind is EngineType.READ_AND_WRITE else None

    def remove(self) -> None:
        """Do nothing: there is no session."""


class HealthCheck(c2c_health.HealthCheck):
    """The checks of an application: ``HealthCheck(config)``, any number of times, is the same object."""

    def add_db_session_check(
        self,
        session: Any,
        query_cb: Any = None,
        at_least_one_model: Any = None,
        level: int = 1,
        engine_type: EngineType = EngineType.READ_AND_WRITE,
        **options: Any,
    ) -> None:
        """Check that each engine of ``engine_type`` of a session answers; see ``c2c_health.HealthCheck``."""
        if engine_type is not EngineType.READ_AND_WRITE:
            session = _Engines(session, engine_type)
        super().add_db_session_check(session, query_cb, at_least_one_model, level, **options)

    def add_redis_check(self, url: str | None = None, name: str | None = None, level: int = 1, **options: Any) -> None:
        """Check that a Redis answers: the one of the URL, or else the one of the settings.

        A first argument that is neither a URL nor ``host:port`` is the name, as in c2cwsgiutils 6.

        Raises:
            ConfigurationError: There is no Redis in the settings, or it is no URL.
        """
        if url is not None and "://" not in url and ":" not in url:
            url, name = None, url
        if url is None:
            url = load(BroadcastSettings, self._config.get_settings()).redis_url
            if url is None:
                raise ConfigurationError("The Redis check needs a Redis: set C2C_REDIS_URL (ini key c2c.redis_url)")
        super().add_redis_check(url, name, level, **options)
