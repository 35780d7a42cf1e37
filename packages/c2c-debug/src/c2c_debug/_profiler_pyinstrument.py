"""Recording one request by pyinstrument's sampler, which looks at the thread's stack each millisecond."""

import threading
from typing import Any

from pyinstrument.stack_sampler import get_stack_sampler

from c2c_debug._profiler_sessions import Session, Sessions

_INTERVAL = 0.001
_MOST_STACKS = 20_000
_DEEPEST = 200
_SMALLEST = 0.0005  # of the whole: what is less is left out
# What ends a frame's identity: pyinstrument adds its line and class (pyinstrument.frame_info).
_ATTRIBUTES = "\x01"


class Recording:
    """From ``start`` to ``stop``, by the thread that started it; its stacks are summed up while it runs."""

    whole_body = True

    def __init__(self, sessions: Sessions, below: str) -> None:
        """Make it; ``below`` is the file of the code that calls what is to be recorded."""
        self._sessions = sessions
        self._below = f"\x00{below}\x00"
        self._stacks: dict[tuple[str, ...], float] = {}
        self._thread = 0
        self._running = False

    def start(self) -> bool:
        """Begin; tell whether it could."""
        self._thread = threading.get_ident()
        self._running = True
        get_stack_sampler().subscribe(self._see, desired_interval=_INTERVAL, use_async_context=False)
        return True

    def stop(self) -> None:
        """End. In another thread (a body's ``close`` may be anywhere) the recorded one ends at its next sample."""
        if threading.get_ident() == self._thread:
            get_stack_sampler().unsubscribe(self._see)
        self._running = False

    def _see(self, stack: list[str], seconds: float, _state: Any) -> None:
        if not self._running:
            get_stack_sampler().unsubscribe(self._see)
            return
        # What the filter called is the request; what the server does between two parts of a body is not.
        filters = [index for index, frame in enumerate(stack) if self._below in frame]
        if not filters:
            return
        key = tuple(stack[filters[-1] + 1 :][:_DEEPEST])
        if key in self._stacks or len(self._stacks) < _MOST_STACKS:
            self._stacks[key] = self._stacks.get(key, 0.0) + seconds

    def keep(self, session: Session) -> None:
        """Keep what was recorded."""
        self._sessions.add(session, self.tree(f"{session.method} {session.path}", session.duration))

    def tree(self, name: str, duration: float) -> list[Any]:
        """Return ``[text, seconds, [children]]``; what took no time worth a word is left out."""
        root: dict[str, Any] = {}
        for stack, seconds in self._stacks.items():
            level = root
            for frame in stack:
                node = level.setdefault(frame.partition(_ATTRIBUTES)[0], [0.0, {}])
                node[0] += seconds
                level = node[1]
        return [name, duration, _children(root, duration * _SMALLEST)]


def _children(level: dict[str, Any], least: float) -> list[Any]:
    found = [
        [_text(frame), seconds, _children(below, least)]
        for frame, (seconds, below) in level.items()
        if seconds >= least
    ]
    return sorted(found, key=lambda one: -one[1])


def _text(frame: str) -> str:
    """Return "function (file:line)" of pyinstrument's identifier: three parts between zero bytes."""
    function, file, line = [*frame.split("\x00"), "", ""][:3]
    return f"{function} ({file}:{line})" if file and not file.startswith("<built-in>") else f"{function} (built-in)"
