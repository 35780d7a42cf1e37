"""What goes wrong with a database, as the application sees it."""

from c2c_db._scope import Scope, path_of


class DatabaseError(Exception):
    """The base of c2c_db's errors."""


class ReadOnlySessionError(DatabaseError):
    """A request wrote in a session of the replica side; the message names the route and the remedies."""


class UnavailableError(DatabaseError):
    """The database can't do this now: a 503 with ``Retry-After``, in seconds."""

    http_status = 503

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MaintenanceError(UnavailableError):
    """A write while maintenance mode is on."""


class NoReplicaError(UnavailableError):
    """A read without a usable replica, where ``C2C_DB_REPLICA_FAILOVER`` is ``error``."""


def read_only_message(scope: Scope, reason: str) -> str:
    """Say who wrote in a read-only session, and what to do; ``reason`` is that of the decision."""
    request = scope.request
    if request is None:
        return "A write in a read-only session of the replica side: leave use_replica() before writing"
    target = f"{request.method} {path_of(request)}"
    route = getattr(getattr(request, "matched_route", None), "name", None)
    who = f"Route {route!r} ({target})" if route else target
    remedy = {
        "asked": "leave use_replica() before writing",
        "force_slave": "take it out of force_slave",
    }.get(reason, f"use POST, PUT, PATCH or DELETE, or force_master=[{target!r}], or `with use_primary():`")
    return f"{who} writes in a read-only session of the replica side: {remedy}"
