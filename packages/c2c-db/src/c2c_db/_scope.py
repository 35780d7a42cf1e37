"""What this thread works for: a request, or itself."""

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from c2c_db._roles import Role

if TYPE_CHECKING:
    from c2c_db._marks import Mark
    from c2c_db._routing import Decision
    from c2c_db._session import DatabaseSession


# Attributes of a request: the scopes of threads beside the tween, and the thread that handles it.
_SCOPES = "c2c_db_scopes"
_HANDLED_BY = "c2c_db_handled_by"


class Scope:
    """The sessions of one request (``request`` is None: of a thread outside of requests), one a database and side."""

    __slots__ = ("__weakref__", "brought", "decisions", "is_visitor", "marks", "request", "sessions")

    def __init__(self, request: Any = None, *, is_visitor: bool = False) -> None:
        self.request = request
        # Of another thread than the one that handles the request: its transaction is its own.
        self.is_visitor = is_visitor
        self.sessions: dict[tuple[int, Role], DatabaseSession] = {}
        self.decisions: dict[int, Decision] = {}
        # By database name: what was committed here, and what the client says that it wrote (None: not read yet).
        self.marks: dict[str, Mark] = {}
        self.brought: dict[str, Mark] | None = None

    def close(self) -> None:
        """Close the sessions that the transaction's end left open: what read without a transaction manager."""
        for session in self.sessions.values():
            if session.in_transaction():
                if self.is_visitor:  # nobody ended the transaction of this thread
                    session.manager.abort()
                session.close()
        self.sessions.clear()


def path_of(request: Any) -> str:
    """Return a request's path, with the route prefix, percent-encoded; ``/`` for one that can't be decoded."""
    try:
        return str(request.path)
    except UnicodeDecodeError:  # Pyramid answers 400, maybe by a view that uses a session
        return "/"


class _Here(threading.local):
    # A thread-local on purpose: a context variable travels to other threads, a session must not.
    scope: Scope | None = None
    own: Scope | None = None
    visited: weakref.ref[Scope] | None = None
    forced: Role | None = None


_HERE = _Here()


def current_scope() -> Scope:
    """Return the scope of the request that this thread handles, else the thread's own."""
    if _HERE.scope is not None:
        return _HERE.scope
    if _HERE.own is None:
        _HERE.own = Scope()
    return _HERE.own


def scope_of(request: Any) -> Scope:
    """Return the scope in which this thread works for a request that it does not handle now.

    A session is no thing for two threads. A thread that works for a request which another one handles (a health check,
    a pool of the application's) has sessions of its own, and nobody else closes them: that would wait for it. What it
    left open is closed when it begins to work for another request.
    """
    me = threading.get_ident()
    scopes: dict[int, Scope] = request.__dict__.setdefault(_SCOPES, {})
    found = scopes.get(me)
    if found is None:
        found = scopes[me] = Scope(request, is_visitor=getattr(request, _HANDLED_BY, me) != me)
        if found.is_visitor:
            before = _HERE.visited() if _HERE.visited is not None else None
            if before is not None:
                before.close()
            _HERE.visited = weakref.ref(found)
        else:  # of a script's request, or used outside of the tween
            request.add_finished_callback(lambda _request: found.close())
    return found


def forced_role() -> Role | None:
    """Return the side that ``use_primary`` or ``use_replica`` asks for, where one is active."""
    return _HERE.forced


@contextlib.contextmanager
def use_primary() -> Iterator[None]:
    """Work on the primary in this block, whatever the request is; sessions used inside are the primary's."""
    with _using(Role.PRIMARY):
        yield


@contextlib.contextmanager
def use_replica() -> Iterator[None]:
    """Read from a replica in this block, whatever the request is; outside of requests this is how to ask for one."""
    with _using(Role.REPLICA):
        yield


@contextlib.contextmanager
def _using(role: Role) -> Iterator[None]:
    before = _HERE.forced
    _HERE.forced = role
    try:
        yield
    finally:
        _HERE.forced = before


def enter(scope: Scope) -> tuple[Scope | None, Role | None]:
    """Begin to handle a request; hand what is returned to ``leave``."""
    setattr(scope.request, _HANDLED_BY, threading.get_ident())
    before = (_HERE.scope, _HERE.forced)
    _HERE.scope = scope
    _HERE.forced = None
    return before


def leave(before: tuple[Scope | None, Role | None]) -> None:
    """Work on for what ``enter`` found."""
    _HERE.scope, _HERE.forced = before
