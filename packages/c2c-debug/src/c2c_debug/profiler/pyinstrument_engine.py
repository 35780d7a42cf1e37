"""Recording one request by pyinstrument's sampler, which looks at the thread's stack each millisecond."""

import sys
import threading
from typing import Any
from urllib.parse import quote

from pyinstrument.renderers import HTMLRenderer, SpeedscopeRenderer
from pyinstrument.session import Session as Recorded
from pyinstrument.stack_sampler import get_stack_sampler

from c2c_debug.profiler.sessions import Session, Sessions

_INTERVAL = 0.001
_MOST_STACKS = 20_000
_DEEPEST = 200
OTHER = "other"


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
        """Keep what was recorded, as pyinstrument's own session; its records are sums, by stack, below one root."""
        name = f"{session.method} {quote(session.path)}"  # stands in a script of the page
        root = f"{name}\x00<request>\x000"
        recorded = Recorded(
            frame_records=[([root, *stack], seconds) for stack, seconds in sorted(self._stacks.items())],
            start_time=session.begun,
            duration=session.duration,
            min_interval=_INTERVAL,
            max_interval=_INTERVAL,
            sample_count=round(session.duration / _INTERVAL),
            start_call_stack=[""],
            target_description=name,
            cpu_time=0,
            sys_path=sys.path,
            sys_prefixes=Recorded.current_sys_prefixes(),
        )
        self._sessions.add(session, recorded.to_json())


def html(data: Any) -> str:
    """Return pyinstrument's own page: call tree, and the sums as a flame graph."""
    return str(HTMLRenderer().render(Recorded.from_json(data)))


def speedscope(data: Any) -> str:
    """Return the profile for speedscope.app."""
    return str(SpeedscopeRenderer().render(Recorded.from_json(data)))


def shares(data: Any, modules: tuple[str, ...]) -> dict[str, float]:
    """Return seconds by package: a frame's own time is of the innermost package among itself and its callers."""
    # The longest first: a package's own subpackage wins.
    parts = {one: one.replace(".", "/") for one in sorted(modules, key=len, reverse=True)}
    found = dict.fromkeys([*modules, OTHER], 0.0)
    for stack, seconds in data["frame_records"]:
        files = (frame.split("\x00")[1] for frame in reversed(stack) if frame.count("\x00") > 1)
        owners = (
            one for file in files for one, part in parts.items() if f"/{part}/" in file or file.endswith(f"/{part}.py")
        )
        found[next(owners, OTHER)] += seconds
    return found
