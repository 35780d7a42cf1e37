"""``HealthCheck``: the classic way to say which checks an application has."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self, Unpack

from pyramid.config import Configurator

from c2c_broadcast import ConfigurationError
from c2c_health._automatic import go_live
from c2c_health._check import Check, Options, Pace, taking_request
from c2c_health._checks import checks_of

if TYPE_CHECKING:
    from c2c_health._sql import QueryCallback
    from c2c_health._url import ResponseCallback

_KEY = "health_check"


class HealthCheck:
    """The checks of an application: ``HealthCheck(config)``, any number of times, is the same object.

    It includes ``c2c_health``. It is ``config.registry["health_check"]`` too, for whoever adds checks later. Every
    ``add_*`` also takes what ``Options`` names. In a process without Pyramid's application, ``report()`` runs the
    checks.
    """

    def __new__(cls, config: Configurator) -> Self:
        """Return the application's own, where there is one already."""
        found = config.registry.get(_KEY)
        return found if isinstance(found, cls) else super().__new__(cls)

    def __init__(self, config: Configurator) -> None:
        self._config = config
        config.registry.setdefault(_KEY, self)
        config.include("c2c_health")

    def add_db_session_check(
        self,
        session: Any,
        query_cb: "QueryCallback | None" = None,
        at_least_one_model: Any = None,
        level: int = 1,
        **options: Unpack[Options],
    ) -> None:
        """Check that each engine of a session answers: one check an engine, named ``db_engine_<engine name>``.

        A replica whose reads go to the primary while it is away decides nothing at ``level``: its failure is
        ``degraded`` there, and fails reports from level 2 on.

        With ``at_least_one_model`` there must be a row of it. ``query_cb`` takes a session of the check's own, on that
        engine; its result is the check's. Without both, the server must answer. ``session`` is what
        ``c2c_db.setup_session`` gives (it has ``c2c_rw_bind`` and ``c2c_ro_bind``), or any session or ``sessionmaker``
        with a bind.

        Raises:
            ConfigurationError: The session has no engine, or two engines have one name.
        """
        from c2c_health._sql import db_session_checks

        required = checks_of(self._config.registry).settings.replica_required
        self._add(
            *db_session_checks(session, query_cb, at_least_one_model, level, replica_required=required, **options)
        )
        self._clean(session)

    def add_alembic_check(
        self,
        session: Any,
        alembic_ini_path: str,
        level: int = 2,
        name: str = "alembic",
        version_schema: str | None = None,
        version_table: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Check that the database is at the heads of the code's migrations; the result is the database's version.

        It is named ``alembic_<path with / as _, stripped>_<name>``, where ``name`` is a section of the ini file. Schema
        and table of the version are these arguments, or the section's ``version_table_schema`` (default ``public``, on
        PostgreSQL) and ``version_table`` (default ``alembic_version``).

        Raises:
            ConfigurationError: The file or its section is missing, or the session has no engine.
        """
        from c2c_health._alembic import alembic_check

        self._add(alembic_check(session, alembic_ini_path, level, name, version_schema, version_table, **options))
        self._clean(session)

    def add_url_check(
        self,
        url: str | Callable[[Any], str],
        params: Any = None,
        headers: Any = None,
        name: str | None = None,
        check_cb: "ResponseCallback" = lambda _request, _response: None,
        timeout: float = 3,
        level: int = 1,
        **pace: Unpack[Pace],
    ) -> None:
        """Check that a GET of ``url`` is answered with 2xx; what ``check_cb(request, response)`` returns is the result.

        ``url``, ``params`` and ``headers`` may be functions of the request, whose id (``X-Request-ID``) is sent along.
        It is named by the URL without user, password and query, by the function's name, or ``url`` where that has none.
        Redirects are followed.

        Raises:
            ConfigurationError: It is no URL.
        """
        from c2c_health._url import url_check

        self._add(url_check(url, params, headers, name, check_cb, timeout, level, **pace))

    def add_redis_check(self, url: str, name: str | None = None, level: int = 1, **options: Unpack[Options]) -> None:
        """Check that a Redis answers PING. It is named by the URL without user and password.

        The Redis of the settings has such a check by itself, at level 2.

        Raises:
            ConfigurationError: It is no URL of a Redis, or redis-py is not installed.
        """
        if find_spec("redis") is None:
            raise ConfigurationError("The Redis check needs redis: pip install 'c2c-health[redis]'")
        from c2c_health._redis import redis_check

        self._add(redis_check(url, name, level, **options))

    def add_version_check(self, name: str = "version", level: int = 2, **options: Unpack[Options]) -> None:
        """Check that all processes of the service run one version: ``{"version": hash, "count": processes}``.

        It is there by itself where there is a version file; this is to have it under another name or level.
        """
        from c2c_health._version_check import version_check

        registry = self._config.registry
        self._add(version_check(registry, name, level, checks_of(registry).version_seen, **options))

    def add_custom_check(
        self, name: str, check_cb: Callable[..., Any], level: int = 1, **options: Unpack[Options]
    ) -> None:
        """Check whatever ``check_cb`` checks: it takes the request, returns something JSON can hold, or raises.

        It may raise ``JsonCheckException(message, json)`` to say more, and ``Degraded(message)`` to pass with a
        warning.

        Raises:
            ConfigurationError: ``check_cb`` can't be called with the request, or a value makes no sense.
        """
        self._add(Check(name=name, run=taking_request(name, check_cb), level=level, **options))

    def start(self) -> None:
        """Begin the background runs (``interval``) now, in a daemon; in a service the first request does it."""
        checks_of(self._config.registry).start()

    def report(self, max_level: int | None = None, checks: Sequence[str] = (), request: Any = None) -> dict[str, Any]:
        """Run the checks up to ``max_level`` (default 1), or those named, and return the report, as the view gives it.

        Raises:
            ValueError: One of ``checks`` is unknown.
        """
        registry = self._config.registry
        state = checks_of(registry)
        if not state.live:
            self._config.commit()
            go_live(registry, state)
        return state.report(None if max_level is None else str(max_level), checks, request)

    def _clean(self, session: Any) -> None:
        """Close this session in the threads of checks that used it."""
        from c2c_health._sql import remover

        remove, clean = remover(session), checks_of(self._config.registry).perform.clean
        if remove is not None and remove not in clean:
            clean.append(remove)

    def _add(self, *checks: Check) -> None:
        for check in checks:
            # Two frames up is who called our caller: file and line for a conflict.
            self._config.add_health_check(check, _backframes=2)
