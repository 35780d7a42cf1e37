"""Know when the last byte of a streamed body was produced."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any


class TimedBody:
    """A WSGI body that calls ``done`` once: at its end, at its failure, or when the server closes it."""

    __slots__ = ("_done", "_iterator", "body")

    def __init__(self, body: Iterable[bytes], done: Callable[[], None]) -> None:
        self.body = body
        self._done: Callable[[], None] | None = done
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = iter(self.body)
        try:
            return next(self._iterator)
        except BaseException:
            self._finish()
            raise

    def close(self) -> None:
        """Close the body below, if it can be."""
        try:
            close = getattr(self.body, "close", None)
            if close is not None:
                close()
        finally:
            self._finish()

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()


class _RangedBody(TimedBody):
    """One that can give a part of itself, as WebOb asks bodies to do where a range is wanted."""

    __slots__ = ()

    def app_iter_range(self, start: int, stop: int) -> TimedBody:
        """Return the bytes from ``start`` up to ``stop``."""
        part = self.body.app_iter_range(start, stop)  # type: ignore[attr-defined] # made for those that have it
        return TimedBody(part, self._finish)


def watch(response: Any, environ: dict[str, Any], done: Callable[[], None]) -> None:
    """Call ``done`` once the body is out; at once where it is complete already."""
    body = response.app_iter
    if isinstance(body, TimedBody):
        body = body.body  # one response object, given out again
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type) and isinstance(body, wrapper):
        # A server sends these by sendfile(2), which it does for its own class only.
        _watch_close(body, done)
    elif hasattr(body, "__len__"):
        done()  # complete; and servers know the length of what has one
    else:
        headers = response.headerlist[:]
        response.app_iter = (_RangedBody if hasattr(body, "app_iter_range") else TimedBody)(body, done)
        # WebOb drops Content-Length, which it takes for the one of the body before.
        response.headerlist[:] = headers


def _watch_close(body: Any, done: Callable[[], None]) -> None:
    close = getattr(body, "close", None)
    if close is None:
        done()
        return

    def closing() -> None:
        try:
            close()
        finally:
            done()

    try:
        body.close = closing
    except AttributeError:
        done()
