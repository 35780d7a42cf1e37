"""What a request is at: a tween round it, view derivers round view and rendering, methods that wait for others.

Of SQLAlchemy, requests and redis the methods that send something are wrapped: there are no events both before and after
that cost less than the row itself. Where a thread has no row they do nothing else than the original.
"""

import functools
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

from c2c_broadcast import when_imported
from c2c_debug.running.lost import begin
from c2c_debug.running.table import BODY, HTTP, POOL, REDIS, RENDER, SQL, TABLE, VIEW
from c2c_debug.sql.explain import simplified

_MARK = "_c2c_debug_phase"
_LONGEST_STATEMENT = 4_000


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:  # noqa: ARG001 # Pyramid's
    """Return the tween that gives each request its row."""
    table, get_row = TABLE, TABLE.row

    def tween(request: Any) -> Any:
        if not table.pid:
            begin()
        row = get_row()
        # A request within another one, in its thread, is a part of that.
        if row is None or (row.base and row.base != BODY):
            return handler(request)
        environ = request.environ
        get = environ.get
        begun = row.begin(
            f"{get('REQUEST_METHOD')}\0{get('REMOTE_ADDR', '')}\0{get('HTTP_X_REQUEST_ID', '')}\0{get('PATH_INFO')}",
            environ,
        )
        try:
            response = handler(request)
        except BaseException:
            row.end(begun)
            raise
        body = getattr(response, "app_iter", None)
        if type(body) is list or body is None:
            row.end(begun)
        else:
            row.turn(BODY)
            _watch(response, body, environ, partial(row.end, begun))
        return response

    return tween


class _Body:
    """A body that is made while it is sent; calls ``done`` when it is closed, or when nobody has it any more."""

    __slots__ = ("_body", "_done")

    def __init__(self, body: Any, done: Callable[[], None]) -> None:
        self._body = body
        self._done = done

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body
        self._done()

    def __getattr__(self, name: str) -> Any:
        if name != "app_iter_range":  # WebOb's, for answers to Range
            raise AttributeError(name)
        ranged = self._body.app_iter_range
        return lambda *arguments: _Body(ranged(*arguments), self._done)

    def close(self) -> None:
        """Close the body below, if it can be."""
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._done()

    def __del__(self) -> None:
        self._done()


def _watch(response: Any, body: Any, environ: dict[str, Any], done: Callable[[], None]) -> None:
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(body, tuple) or (isinstance(wrapper, type) and isinstance(body, wrapper)):
        done()  # a server sends its own class by sendfile(2), and no other
        return
    length = response.headers.get("Content-Length")
    response.app_iter = _Body(body, done)
    if length is not None:
        response.headers["Content-Length"] = length  # the setter drops it


def around_view(view: Any, info: Any) -> Any:
    """View deriver next to the view: route and id are known; after the view it is rendered."""
    renders = info.options.get("renderer") is not None
    current = TABLE.current

    def watched(context: Any, request: Any) -> Any:
        row = current()
        if row is None or row.environ is not request.environ:
            return view(context, request)
        route = request.matched_route
        name = "" if route is None else route.name
        row.route(f"{name}\0{getattr(request, 'c2c_request_id', '')}".encode("utf-8", "replace"))
        result = view(context, request)
        if renders:
            row.turn(RENDER)
        return result

    return watched


def around_rendering(view: Any, info: Any) -> Any:
    """View deriver round the rendering: what comes after it is the tweens' again."""
    if info.options.get("renderer") is None:
        return view
    current = TABLE.current

    def watched(context: Any, request: Any) -> Any:
        try:
            return view(context, request)
        finally:
            row = current()
            if row is not None and row.base == RENDER:
                row.turn(VIEW)

    return watched


# -- what is waited for -----------------------------------------------------------------------------------------------


def install() -> None:
    """Wrap what waits, of libraries that the application imports; once a process."""
    when_imported("sqlalchemy", _sqlalchemy)
    when_imported("sqlalchemy.dialects.postgresql.psycopg2", _psycopg2)
    when_imported("requests", _requests)
    when_imported("redis", _redis)


def _sqlalchemy() -> None:
    from sqlalchemy.engine.default import DefaultDialect
    from sqlalchemy.pool import Pool

    for name in ("do_execute", "do_executemany", "do_execute_no_params"):
        _wrap(DefaultDialect, name, _statement)
    for name in ("do_commit", "do_rollback"):
        _wrap(DefaultDialect, name, partial(_waiting, phase=SQL, text=name[3:].upper().encode()))
    _wrap(Pool, "connect", partial(_waiting, phase=POOL, text=b""))


def _psycopg2() -> None:
    from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

    _wrap(PGDialect_psycopg2, "do_executemany", _statement)


def _requests() -> None:
    from requests.adapters import HTTPAdapter

    _wrap(HTTPAdapter, "send", _sent)


def _redis() -> None:
    from redis import client, cluster

    for owner in (client.Redis, cluster.RedisCluster):
        _wrap(owner, "execute_command", _commanded)
    for pipeline in (client.Pipeline, cluster.ClusterPipeline):
        _wrap(pipeline, "execute", partial(_waiting, phase=REDIS, text=b"PIPELINE"))


def _wrap(owner: type, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    original = owner.__dict__.get(name)
    if original is not None and not hasattr(original, _MARK):
        wrapper = functools.wraps(original)(wrap(original))
        setattr(wrapper, _MARK, True)
        setattr(owner, name, wrapper)


def _waiting(original: Callable[..., Any], phase: int, text: bytes) -> Callable[..., Any]:
    current = TABLE.current

    def watched(*arguments: Any, **named: Any) -> Any:
        row = current()
        if row is None:
            return original(*arguments, **named)
        row.enter(phase, text)
        try:
            return original(*arguments, **named)
        finally:
            row.leave()

    return watched


def _statement(original: Callable[..., Any]) -> Callable[..., Any]:
    current = TABLE.current

    def watched(dialect: Any, cursor: Any, statement: str, *rest: Any, **named: Any) -> Any:
        row = current()
        if row is None:
            return original(dialect, cursor, statement, *rest, **named)
        connection = row.connection
        if connection is None or connection[0] is not getattr(cursor, "connection", None):
            connection = row.connection = _connection(cursor)
        short = statement if len(statement) < _LONGEST_STATEMENT else statement[:_LONGEST_STATEMENT]
        row.enter(SQL, _text(short), connection[1])
        try:
            return original(dialect, cursor, statement, *rest, **named)
        finally:
            row.leave()

    return watched


@lru_cache(maxsize=1_000)
def _text(statement: str) -> bytes:
    return simplified(statement).encode("utf-8", "replace")


def _connection(cursor: Any) -> tuple[Any, int]:
    """Return a cursor's connection and the process that serves it: of psycopg, psycopg2; 0 elsewhere."""
    connection: Any = getattr(cursor, "connection", None)
    try:
        return connection, int(connection.info.backend_pid)
    except Exception:  # noqa: BLE001 # whatever a driver has under this name
        return connection, 0


def _sent(original: Callable[..., Any]) -> Callable[..., Any]:
    current = TABLE.current

    def watched(adapter: Any, request: Any, *rest: Any, **named: Any) -> Any:
        row = current()
        if row is None:
            return original(adapter, request, *rest, **named)
        row.enter(HTTP, f"{request.method} {str(request.url).partition('?')[0]}".encode("utf-8", "replace"))
        try:
            return original(adapter, request, *rest, **named)
        finally:
            row.leave()

    return watched


def _commanded(original: Callable[..., Any]) -> Callable[..., Any]:
    current = TABLE.current

    def watched(client: Any, *arguments: Any, **named: Any) -> Any:
        row = current()
        if row is None:
            return original(client, *arguments, **named)
        row.enter(REDIS, str(arguments[0] if arguments else "").encode("utf-8", "replace"))
        try:
            return original(client, *arguments, **named)
        finally:
            row.leave()

    return watched
