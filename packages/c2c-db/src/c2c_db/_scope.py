"""What this thread works for, a request or itself, and on which side: the rules, the scope, the tween."""

import contextlib
import enum
import logging
import re
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import transaction
from pyramid.response import FileIter
from pyramid.threadlocal import get_current_request

from c2c_broadcast import ConfigurationError
from c2c_db._marks import Mark, Written, tell

# The safe methods (RFC 9110, 9.2.1) that services are asked with; whatever else comes may write.
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Role(enum.StrEnum):
    """The side a session works on: ``primary`` takes writes, ``replica`` only reads."""

    PRIMARY = "primary"
    REPLICA = "replica"


@dataclass(frozen=True, slots=True)
class Decision:
    """The side that was chosen, and why."""

    role: Role
    reason: str


Condition = str | re.Pattern[str] | frozenset[str]
"""What ``force_master`` and ``force_slave`` hold: a regular expression (text or compiled), or ``route_name(...)``."""
Rules = tuple[tuple[re.Pattern[str] | frozenset[str], Decision], ...]
"""The application's exceptions from the rule that reads use the replica and all else the primary: the first holds."""

MAINTENANCE = Decision(Role.REPLICA, "maintenance")
_BY_METHOD_PRIMARY = Decision(Role.PRIMARY, "method")
_BY_METHOD_REPLICA = Decision(Role.REPLICA, "method")
_ASKED = {role: Decision(role, "asked") for role in Role}
_OUTSIDE = Decision(Role.PRIMARY, "outside a request")


def route_name(*names: str) -> frozenset[str]:
    """Return the condition for ``force_master`` and ``force_slave`` that holds for requests of these routes."""
    return frozenset(names)


def make_rules(force_master: Iterable[Condition] | None, force_slave: Iterable[Condition] | None) -> Rules:
    """Compile what an application said; raise ConfigurationError where it is no pattern."""
    rules: list[tuple[re.Pattern[str] | frozenset[str], Decision]] = []
    sides = (("force_master", Role.PRIMARY, force_master), ("force_slave", Role.REPLICA, force_slave))
    for name, role, conditions in sides:
        if isinstance(conditions, str):
            raise ConfigurationError(f"{name} is a list of patterns, not one text: write [{conditions!r}]")
        for condition in conditions or ():
            try:
                one = condition if isinstance(condition, frozenset) else re.compile(condition)
                if isinstance(one, re.Pattern):
                    one.match("")  # of a text: one of bytes raises
            except (re.error, TypeError) as error:
                raise ConfigurationError(
                    f"{name}: {condition!r} is not a regular expression ({error}): write a text or a compiled pattern "
                    "(re.escape() escapes one), or route_name('...')"
                ) from None
            rules.append((one, Decision(role, name)))
    return tuple(rules)


def decide(rules: Rules, target: str, route: str | None) -> Decision:
    """Return the side for a request, ``"{METHOD} {path}"``; ``route`` is its name where one matched."""
    for one, decision in rules:
        if route in one if isinstance(one, frozenset) else one.match(target):
            return decision
    return _BY_METHOD_REPLICA if target.partition(" ")[0] in _READS else _BY_METHOD_PRIMARY


# Attributes of a request: the thread that handles it with its scope, and the scopes of others.
_HANDLED = "c2c_db_handled"
_SCOPES = "c2c_db_scopes"
_LOG = logging.getLogger(__name__)


class Scope:
    """The sessions of one request (``request`` is None: of a thread outside of requests), one a database and side.

    ``outer`` is the scope in whose place it works: of the request that made a sub-request, or that a thread works for.
    It joins the request's transaction; one that is ``apart`` the thread's, which ends with it: another thread's for
    the request, or what comes after the answer (callbacks, a body that is sent).
    """

    __slots__ = ("__weakref__", "_decisions", "apart", "brought", "inner", "outer", "request", "sessions", "written")

    def __init__(self, request: Any = None, outer: "Scope | None" = None, *, apart: bool = False) -> None:
        self.request = request
        self.apart = apart
        self.outer = outer
        self.inner: list[Scope] = []
        self.sessions: dict[tuple[int, Role], Any] = {}
        self._decisions: dict[int, Decision] = {}
        # By database name: what was committed for this client, and what it brought. Both are the outermost request's.
        self.written: dict[str, Written] = {} if outer is None else outer.written
        self.brought: dict[str, Mark | None] = {} if outer is None else outer.brought

    @property
    def client(self) -> Any:
        return (self.outer and self.outer.client) or self.request

    @property
    def manager(self) -> Any:
        if self.apart or self.request is None:
            return transaction.manager
        if self.outer is not None and not hasattr(self.request, _HANDLED):
            return self.outer.manager  # a sub-request without tweens: part of the request's transaction
        return getattr(self.request, "tm", None) or transaction.manager

    @property
    def target(self) -> str:
        """``"{METHOD} {path}"``, the path percent-encoded, with the route prefix."""
        try:
            return f"{self.request.method} {self.request.path}"
        except UnicodeDecodeError:  # Pyramid answers 400, maybe by a view that uses a session
            return f"{self.request.method} /"

    @property
    def route(self) -> str | None:
        return getattr(getattr(self.request, "matched_route", None), "name", None)

    def decide(self, rules: Rules) -> Decision:
        if _HERE.forced is not None:
            return _ASKED[_HERE.forced]
        if self.request is None:
            return _OUTSIDE
        decision = self._decisions.get(id(rules))
        if decision is None:
            decision = decide(rules, self.target, self.route)
            if getattr(self.request, "matched_route", None) is not None:  # before that those by name can't apply
                self._decisions[id(rules)] = decision
        return decision

    def close(self, *, commit: bool = False) -> None:
        """Close the sessions that the transaction's end left open; where nobody else ends it, end it."""
        for inner in self.inner:
            inner.close()
        try:
            for session in self.sessions.values() if self.apart else ():
                if session.in_transaction():
                    (session.manager.commit if commit else session.manager.abort)()
        finally:
            for session in self.sessions.values():
                if session.in_transaction():
                    session.close()
            self.sessions.clear()


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
    request = get_current_request()
    if request is not None and _HANDLED in request.__dict__:
        return scope_of(request)  # it was answered: a subscriber to NewResponse, a callback
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
    if me in scopes:
        return scopes[me]
    handler, handled = request.__dict__.get(_HANDLED, (None, None))
    outer = handled or _HERE.scope
    found = Scope(request, outer, apart=handled is not None)
    if handled is None and outer is not None:  # a sub-request without tweens
        outer.inner.append(found)
    elif handled is None:  # of a script's request, or used outside of the tween
        request.add_finished_callback(lambda _request: found.close())
    elif handler == me:
        request.add_finished_callback(lambda _request: _end_late(found))
    else:
        before = _HERE.visited() if _HERE.visited is not None else None
        if before is not None:
            before.close()
        _HERE.visited = weakref.ref(found)
    scopes[me] = found
    return found


def _end_late(scope: Scope) -> None:
    try:
        scope.close(commit=True)
    except Exception:  # noqa: BLE001 # the answer is made: it is not taken back by what came after it
        _LOG.exception("What was written after the answer to %s is lost", scope.target)


def use_primary() -> contextlib.AbstractContextManager[None]:
    """Work on the primary in this block, whatever the request is; sessions used inside are the primary's."""
    return working(None, Role.PRIMARY)


def use_replica() -> contextlib.AbstractContextManager[None]:
    """Read from a replica in this block, whatever the request is; outside of requests this is how to ask for one."""
    return working(None, Role.REPLICA)


@contextlib.contextmanager
def working(scope: Scope | None, role: Role | None = None) -> Iterator[None]:
    """Work in a scope (None: as before) in this block, on the side that is asked for, else as the rules say."""
    before = _HERE.scope, _HERE.forced
    _HERE.scope, _HERE.forced = scope or _HERE.scope, role
    try:
        yield
    finally:
        _HERE.scope, _HERE.forced = before


TWEEN = "c2c_db._scope.tween_factory"


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Keep the request's scope while it is handled, and tell its client what was written.

    Over pyramid_tm: it sees what the commit left.
    """

    def tween(request: Any) -> Any:
        outer = _HERE.scope
        if outer is not None and outer.client.registry is not registry:
            outer = None  # no sub-request: another application, called in this thread
        scope = Scope(request, outer)
        request.__dict__[_HANDLED] = (threading.get_ident(), scope)
        try:
            with working(scope):
                response = handler(request)
        finally:
            scope.close()
            if scope.written and outer is None:
                # To whatever is answered in the end: a tween above may answer an exception that came after the commit.
                written = scope.written
                request.add_response_callback(lambda asked, answer: tell(asked, answer, tuple(written.values())))
            scope.request = None  # the request knows the scope: no cycle for the collector
        if type(getattr(response, "app_iter", None)) is not list:
            _keep_scope(request, scope, response)
        return response

    return tween


def _keep_scope(request: Any, scope: Scope, response: Any) -> None:
    """Let a body that is made while it is sent work in a scope that ends with it."""
    body: Any = getattr(response, "app_iter", None)
    wrapper = request.environ.get("wsgi.file_wrapper")
    is_file = isinstance(body, FileIter) or (isinstance(wrapper, type) and isinstance(body, wrapper))
    if is_file or not hasattr(body, "__iter__") or hasattr(body, "__len__") or hasattr(body, "app_iter_range"):
        return  # it uses no session while it is sent, or can do more than be sent
    length = response.headers.get("Content-Length")
    response.app_iter = _Body(body, Scope(request, scope, apart=True))
    if length is not None:  # WebOb takes it away
        response.headers["Content-Length"] = length


class _Body:
    def __init__(self, body: Iterable[bytes], scope: Scope) -> None:
        self._body = body
        self._scope = scope
        self._chunks: Iterator[bytes] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        with working(self._scope):
            try:
                if self._chunks is None:
                    self._chunks = iter(self._body)
                return next(self._chunks)
            except BaseException as error:
                self._scope.close(commit=isinstance(error, StopIteration))
                raise

    def close(self) -> None:
        with working(self._scope):
            try:
                for one in (self._chunks, self._body):
                    close = getattr(one, "close", None)
                    if close is not None:
                        close()
            finally:
                self._scope.close()
