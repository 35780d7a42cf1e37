"""The session of one request (or thread) on one side of a database."""

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session, sessionmaker

from c2c_db._roles import Role

if TYPE_CHECKING:
    from c2c_db._running import RunningDatabase


class DatabaseSession(Session):
    """A session that knows its database, its side, and the transaction manager that it joins."""

    def __init__(self, *, database: "RunningDatabase", role: Role, manager: Any, **options: Any) -> None:
        super().__init__(**options)
        self.database = database
        self.role = role
        self.manager = manager


class FrozenSessionmaker(sessionmaker[DatabaseSession]):
    """A sessionmaker that stays as it was made: one that is re-configured hands other threads the wrong engine."""

    def configure(self, **_new: Any) -> None:
        """Refuse.

        Raises:
            TypeError: Always; session options are given when the database is set up.
        """
        raise TypeError("Sessions of c2c_db are not re-configured: give session options to Database(session_options=)")
