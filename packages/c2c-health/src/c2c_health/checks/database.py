"""Database checks: each engine of a session, with a session of the check's own."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

from c2c_broadcast import ConfigurationError
from c2c_health._check import Check, JsonCheckException, Options
from c2c_health._settings import HealthSettings
from c2c_health.checks import Kind

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

_SPARE_LEVEL = 2


class Databases(Kind):
    """Adds checks of databases."""

    settings: HealthSettings

    def add_db_session_check(
        self,
        session: Any,
        query_cb: "Callable[[Session], Any] | None" = None,
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
        from sqlalchemy import literal, select, text

        def query(session: "Session") -> Any:
            model = at_least_one_model
            if model is not None and session.execute(select(literal(1)).select_from(model).limit(1)).first() is None:
                raise JsonCheckException(f"{getattr(model, '__name__', model)} record not found")
            if query_cb is not None:
                return query_cb(session)
            if model is None:
                session.execute(text("SELECT 1"))
            return None

        options.setdefault("shown_from", level)
        for name, engine in engines(session).items():
            # c2c-db says it of a replica's engine.
            spare = not self.settings.replica_required and getattr(engine, "c2c_fails_over", False)
            check = Check(
                name=f"db_engine_{name}",
                run=on_engine(engine, query),
                level=max(level, _SPARE_LEVEL) if spare else level,
                kind="db",
                secrets=password_of(engine),
                **options,
            )
            self.add(check, remover(session))


def engines(session: Any) -> "dict[str, Engine]":
    """Return name -> engine of each server of a session, the primary's first; ConfigurationError if it has none."""
    primary = getattr(session, "c2c_rw_bind", None)
    primary = _bind(session) if primary is None else primary
    replicas = getattr(session, "c2c_ro_binds", None) or (getattr(session, "c2c_ro_bind", None),)
    found: dict[str, Engine] = {}
    for number, engine in enumerate((primary, *replicas)):
        if engine is not None and not any(engine is one for one in found.values()):
            name = getattr(engine, "c2c_name", None) or getattr(engine, "logging_name", None)
            name = str(name or ("sqlalchemy_slave" if number else "sqlalchemy"))
            # c2c-db numbers the engines of several replicas; those of others may have one name.
            found[f"{name}_{number}" if name in found else name] = engine
    return found


def _bind(session: Any) -> "Engine":
    # Asking a scoped_session for its bind would make a session; its factory knows too.
    factory = getattr(session, "session_factory", session)
    found = getattr(factory, "kw", {}).get("bind") or getattr(session, "bind", None)
    if found is not None:
        engine: Engine = found.engine  # a connection's, or itself
        return engine
    raise ConfigurationError(
        f"A database check wants a session with an engine; {session!r} has no bind: give it one, or give its engine's"
    )


def on_engine(engine: "Engine", query: "Callable[[Session], Any]") -> Callable[[Any], Any]:
    """Return what runs ``query`` with a session of its own on ``engine``, closed after it."""
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.orm import Session

    def run(_request: Any) -> Any:
        for last in (False, True):
            try:
                with Session(engine) as session:
                    return query(session)
            except DBAPIError as error:
                # A connection of the pool may have died since it was used last: that says nothing of the database now.
                if last or not error.connection_invalidated:
                    raise
        return None

    return run


def password_of(engine: "Engine") -> tuple[str, ...]:
    """Return what no report may show of an engine."""
    return (str(engine.url.password),) if engine.url.password else ()


def remover(session: Any) -> Callable[[], Any] | None:
    """Return what gives back the session that a thread took from a scoped_session.

    One whose scope is something else than the thread (the request, mostly) is left to whoever ends that.
    """
    from sqlalchemy.util import ThreadLocalRegistry

    of_thread = hasattr(session, "c2c_rw_bind") or isinstance(getattr(session, "registry", None), ThreadLocalRegistry)
    return getattr(session, "remove", None) if of_thread else None
