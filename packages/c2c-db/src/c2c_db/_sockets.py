"""Cut connections to a server that hangs: whoever waits for its answer gets an error at once."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any


def cut(connection: Any) -> None:
    """Shut the socket of a libpq connection (psycopg2, psycopg 3) down, from any thread; never raises.

    Its owner's call fails as if the server had gone, and the owner closes it. The descriptor is duplicated before it is
    looked at, and only cut where its peer is still that server: a number that was closed and given to another socket
    meanwhile is left alone.
    """
    try:
        peer = (connection.info.host, int(connection.info.port))
        duplicate = socket.socket(fileno=os.dup(connection.fileno()))
    except Exception:  # noqa: BLE001 # closed meanwhile: each driver has its own error for that
        return
    with duplicate:
        try:
            if duplicate.family == socket.AF_UNIX or duplicate.getpeername()[1] == peer[1]:
                duplicate.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is down already


@contextlib.contextmanager
def cut_after(connection: Any, seconds: float) -> Iterator[None]:
    """Cut a connection when the block is not done after so many seconds: the server's own limit needs a live server."""
    timer = threading.Timer(seconds, cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
