"""``DBSession``: a scoped_session whose session is the one of the request being handled."""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import scoped_session

from c2c_db._roles import Role
from c2c_db._running import RunningDatabase
from c2c_db._scope import current_scope
from c2c_db._session import DatabaseSession


class _Registry:
    """The registry that scoped_session asks: where its sessions are kept, in the scope of the request or thread."""

    def __init__(self, database: RunningDatabase) -> None:
        self._database = database

    def __call__(self) -> DatabaseSession:
        return self._database.session()

    def has(self) -> bool:
        """Tell whether there is a session already, on any side."""
        sessions = current_scope().sessions
        return any((id(self._database), role) in sessions for role in Role)

    def set(self, session: DatabaseSession) -> None:
        """Make this the session of its side."""
        current_scope().sessions[id(self._database), session.role] = session

    def clear(self) -> None:
        """Close and forget the sessions of all sides."""
        sessions = current_scope().sessions
        for role in Role:
            session = sessions.pop((id(self._database), role), None)
            if session is not None:
                session.close()


class RoutedSession(scoped_session[DatabaseSession]):
    """The session of the request being handled: on a replica or the primary, as its method and the rules say.

    Outside of requests it is the thread's, on the primary unless ``use_replica()`` asks otherwise. It is joined to
    the transaction: ``transaction.commit()``, or pyramid_tm, commits. ``c2c_rw_bind`` and ``c2c_ro_bind`` are the
    engines, ``c2c_ro_binds`` those of all replicas.
    """

    def __init__(self, database: RunningDatabase) -> None:
        super().__init__(self._make)  # type: ignore[arg-type] # any function that makes a session does
        self.registry = _Registry(database)  # type: ignore[assignment] # has the four methods of a ScopedRegistry
        self.database = database

    @property
    def c2c_rw_bind(self) -> Engine:
        """The primary's engine."""
        return self.database.primary.engine

    @property
    def c2c_ro_bind(self) -> Engine:
        """The (first) replica's engine; the primary's where there is no replica."""
        return self.database.reader

    @property
    def c2c_ro_binds(self) -> tuple[Engine, ...]:
        """The engines of all replicas."""
        return tuple(self.database.replicas.by_engine)

    def configure(self, **_new: Any) -> None:
        """Refuse, as the factories do.

        Raises:
            TypeError: Always.
        """
        raise TypeError("DBSession is not re-configured: give session options to Database(session_options=)")

    def _make(self, **options: Any) -> DatabaseSession:
        scope = current_scope()
        return self.database.make_session(self.database.decide(scope), scope, **options)
