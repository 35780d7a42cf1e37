"""What a thread waits for, as its stack tells: Python has no other word on it."""

import re
from collections.abc import Sequence

Place = tuple[str, str]
"""File and function of a frame."""

_POOLS = (
    "/sqlalchemy/pool/",
    "/psycopg_pool/",
    "/psycopg2/pool.py",
    "/urllib3/connectionpool.py",
    "/redis/connection.py",
    "/concurrent/futures/thread.py",
    "/waitress/task.py",
)
_LOCKS = {
    ("/threading.py", "wait"),
    ("/threading.py", "acquire"),
    ("/threading.py", "_wait_for_tstate_lock"),
    ("/threading.py", "join"),
    ("/queue.py", "get"),
    ("/queue.py", "put"),
}
_SELECTS = ("/selectors.py", "/asyncore.py", "/wasyncore.py")
_SOCKETS = ("/socket.py", "/ssl.py", "/http/client.py", "/urllib3/util/connection.py")
# A call of C is no frame: the line that it stands in tells. A dict's get has a key, a SimpleQueue's may have nothing.
_LINES = (
    ("sleep", re.compile(r"\bsleep\(")),
    ("socket", re.compile(r"\bwaiting\.wait\(")),  # psycopg 3
    ("select", re.compile(r"\b(?:select|poll|epoll_wait|wait_selector|wait_c)\(")),
    ("socket", re.compile(r"\.(?:recv|recv_into|recvfrom|recvmsg|accept|sendall|connect|getaddrinfo)\(")),
    (
        "lock",
        re.compile(r"\.acquire\(|\.join\(|\bwith [\w.]{0,80}lock\w*:|\.get\((?:\)|block|timeout)|\bflock\("),
    ),
)


def waiting(places: Sequence[Place], code: str) -> str | None:
    """Return ``lock``, ``socket``, ``select``, ``sleep`` or ``pool``, None where the thread seems to work.

    ``pool`` is a wait for a pool's connection, or for work in a pool of threads. ``places`` are the frames, oldest
    first; ``code`` is the newest one's line of source.
    """
    if not places:
        return None
    kind = _kind(places[-1], code)
    return "pool" if kind == "lock" and _in_pool(places) else kind


def _kind(newest: Place, code: str) -> str | None:
    file, function = newest
    if any(file.endswith(end) and function == name for end, name in _LOCKS):
        return "lock"
    if file.endswith(_SELECTS) and function in {"select", "poll"}:
        return "select"
    if file.endswith(_SOCKETS) and function in {"readinto", "accept", "read", "recv", "recv_into", "connect", "send"}:
        return "socket"
    if file.endswith("/concurrent/futures/thread.py") and function == "_worker":
        return "lock"
    if file.endswith("/sqlalchemy/engine/default.py") and function.startswith("do_execute"):
        return "socket"  # the driver, in C, waits for the database
    return next((kind for kind, pattern in _LINES if pattern.search(code)), None)


def _in_pool(places: Sequence[Place]) -> bool:
    """Tell whether the wait is a pool's own, not that of something which runs in a pool's thread."""
    for file, _ in reversed(places):
        if any(part in file for part in _POOLS):
            return True
        if not file.endswith(
            ("/threading.py", "/queue.py", "/sqlalchemy/util/queue.py", "/sqlalchemy/util/langhelpers.py")
        ):
            return False
    return False
