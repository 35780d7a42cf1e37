"""The stacks of all threads, taken with as little work as can be: what takes time is done later."""

import sys
import threading
from types import CodeType, FrameType

Stack = tuple[tuple[CodeType, int], ...]
"""What each frame runs and the line it is at (0: none), oldest first."""

# More frames than this are a recursion: its two ends say enough.
_LONGEST = 400
_END = _LONGEST // 2


def stacks() -> dict[Stack, list[int]]:
    """Return the stacks of all threads, the caller's too, each with the identifiers of the threads that have it."""
    found: dict[Stack, list[int]] = {}
    for thread, frame in sys._current_frames().items():  # noqa: SLF001 # documented, in spite of its name
        found.setdefault(_stack(frame), []).append(thread)
    return found


def names() -> dict[int, str]:
    """Return the name of each thread that Python started or met."""
    return {thread.ident: thread.name for thread in threading.enumerate() if thread.ident is not None}


def _stack(frame: FrameType | None) -> Stack:
    frames = []
    while frame is not None:
        frames.append((frame.f_code, frame.f_lineno or 0))
        frame = frame.f_back
    frames.reverse()
    if len(frames) > _LONGEST:
        left_out = (_stack.__code__, -(len(frames) - _LONGEST))
        frames[_END:-_END] = [left_out]
    return tuple(frames)
