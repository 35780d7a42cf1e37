"""What the databases of one application share."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from c2c_broadcast import load, settings_of
from c2c_db._maintenance import Maintenance
from c2c_db._marks import Mark
from c2c_db._observers import Observers
from c2c_db._settings import DbSettings
from c2c_db._tokens import Tokens

if TYPE_CHECKING:
    from c2c_db._running import RunningDatabase

_KEY = "c2c_db.application"


class Application:
    """The settings, observers, databases and maintenance mode of one application, or of a script."""

    def __init__(self, settings: DbSettings, secret: str | None = None) -> None:
        self.settings = settings
        self.observers = Observers()
        self.maintenance = Maintenance()
        self.databases: dict[str, RunningDatabase] = {}
        self._secret = secret

    @cached_property
    def tokens(self) -> Tokens:
        """What signs the marks of clients: the key is C2C_SECRET's, else that of the databases' URLs.

        All processes of the service have these URLs, with the passwords in them, and no client has.
        """
        urls = sorted(
            database.primary.engine.url.render_as_string(hide_password=False) for database in self.databases.values()
        )
        return Tokens(self._secret or "\n".join(urls))

    def marks_of(self, request: Any) -> dict[str, Mark]:
        """Return what the client of a request says (and can prove) that it wrote, by database name."""
        return self.tokens.of_request(request)


def application_of(registry: Any) -> Application:
    """Return what the databases of an application share, made at the first call."""
    if _KEY not in registry:
        registry[_KEY] = Application(load(DbSettings, registry.settings or {}), settings_of(registry).secret)
    application: Application = registry[_KEY]
    return application


def databases(registry: Any) -> "dict[str, RunningDatabase]":
    """Return the databases of an application, by the name of the primary's engine."""
    return application_of(registry).databases
