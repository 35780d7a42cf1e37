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
from c2c_debug.running.table import BODY, HTTP, POOL, REDIS, RENDER, SQL, TABLE, VIEW, Row
from c2c_debug.sql.explain import simplified

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
        if body is None or isinstance(body, (list, tuple)):
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
        return iter(self._body)

    def close(self) -> None:
        """Close the body below, if it can be."""
        if hasattr(self._body, "close"):
            self._body.close()
        self._done()

    def __del__(self) -> None:
        self._done()


def _watch(response: Any, body: Any, environ: dict[str, Any], done: Callable[[], None]) -> None:
    wrapper = environ.get("wsgi.file_wrapper")
    # A server sends its own class by sendfile(2), and no other; WebOb asks its own, of files, for answers to Range.
    if hasattr(body, "app_iter_range") or (isinstance(wrapper, type) and isinstance(body, wrapper)):
        done()
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


@functools.cache
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
        _wrap(DefaultDialect, name, SQL, _statement)
    for name in ("do_commit", "do_rollback"):
        _wrap(DefaultDialect, name, SQL, _always(name[3:].upper()))
    _wrap(Pool, "connect", POOL, _always(""))


def _psycopg2() -> None:
    from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

    _wrap(PGDialect_psycopg2, "do_executemany", SQL, _statement)


def _requests() -> None:
    from requests.adapters import HTTPAdapter

    _wrap(HTTPAdapter, "send", HTTP, _sent)


def _redis() -> None:
    from redis import client, cluster

    for owner in (client.Redis, cluster.RedisCluster):
        _wrap(owner, "execute_command", REDIS, _commanded)
    for pipeline in (client.Pipeline, cluster.ClusterPipeline):
        _wrap(pipeline, "execute", REDIS, _always("PIPELINE"))


def _wrap(owner: type, name: str, phase: int, said: Callable[..., tuple[bytes, int]]) -> None:
    """Show what a method waits for: of its row and arguments ``said`` makes the text, and the database's process."""
    original = owner.__dict__.get(name)
    if original is None:
        return
    current = TABLE.current

    @functools.wraps(original)
    def watched(*arguments: Any, **named: Any) -> Any:
        row = current()
        if row is None:
            return original(*arguments, **named)
        row.enter(phase, *said(row, *arguments, **named))
        try:
            return original(*arguments, **named)
        finally:
            row.leave()

    setattr(owner, name, watched)


def _always(text: str) -> Callable[..., tuple[bytes, int]]:
    found = (text.encode(), 0)
    return lambda *_, **__: found


def _statement(row: Row, _dialect: Any, cursor: Any, statement: str, *_: Any, **__: Any) -> tuple[bytes, int]:
    connection = getattr(cursor, "connection", None)
    if row.connection is None or row.connection[0] is not connection:
        row.connection = connection, _backend(connection)
    return _text(statement[:_LONGEST_STATEMENT]), row.connection[1]


@lru_cache(maxsize=1_000)
def _text(statement: str) -> bytes:
    return simplified(statement).encode("utf-8", "replace")


def _backend(connection: Any) -> int:
    """Return the process that serves a connection of psycopg or psycopg2; 0 elsewhere."""
    try:
        return int(connection.info.backend_pid)
    except Exception:  # noqa: BLE001 # whatever a driver has under this name
        return 0


def _sent(_row: Row, _adapter: Any, request: Any, *_: Any, **__: Any) -> tuple[bytes, int]:
    return f"{request.method} {str(request.url).partition('?')[0]}".encode("utf-8", "replace"), 0


def _commanded(_row: Row, _client: Any, command: Any = "", *_: Any, **__: Any) -> tuple[bytes, int]:
    return str(command).encode("utf-8", "replace"), 0
