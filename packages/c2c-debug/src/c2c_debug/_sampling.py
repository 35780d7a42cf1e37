"""A sampling profile of this process: the stacks of all threads, a hundred times a second.

A sample holds the interpreter for some microseconds a thread that did something since the one before, and for one a
thread that did not. It looks at frames and keeps numbers; names and lines are found once, in the end.
"""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from time import clock_gettime_ns
from types import CodeType, FrameType
from typing import Any

from c2c_debug._source import line_of
from c2c_debug._threads import names
from c2c_debug._waiting import waiting

MOST_STACKS = 20_000
"""Different stacks that are kept of one process; samples of others are only counted."""

_DEEPEST = 200
_UNKNOWN = -1

# The ids of the frames' codes, and the instruction that each is at; the newest frame first.
_Key = tuple[tuple[int, ...], tuple[int, ...]]


class _Thread:
    """What was seen of one thread. ``cpu`` is its CPU time when ``count`` was that of the stack it had."""

    __slots__ = ("clock", "count", "cpu", "stacks")

    def __init__(self, thread: int) -> None:
        self.clock = _clock_of(thread)
        self.cpu = _UNKNOWN
        self.count = [0]
        self.stacks: dict[_Key, list[int]] = {}


def _clock_of(thread: int) -> int:
    """Return the number of a thread's clock of CPU time: MAKE_THREAD_CPUCLOCK of Linux's posix-timers.h; 0 if none.

    Not ``time.pthread_getcpuclockid``, which may crash for a thread that has just ended.
    """
    if sys.platform != "linux":
        return 0
    native = next((one.native_id for one in threading.enumerate() if one.ident == thread), None)
    return (~native << 3) | 6 if native else 0


@dataclass(slots=True)
class Samples:
    """What was seen: for each thread, how often each stack."""

    codes: dict[int, CodeType] = field(default_factory=dict)
    threads: dict[int, _Thread] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    stacks: int = 0
    count: int = 0
    dropped: int = 0
    seconds: float = 0.0

    def take(self, own: int) -> None:
        """Take one sample of all threads but our own.

        A thread whose CPU time is the same has done nothing, so its stack is the same: it is not looked at.
        """
        self.count += 1
        threads = self.threads
        for ident, newest in sys._current_frames().items():  # noqa: SLF001 # documented, in spite of its name
            thread = threads.get(ident)
            if thread is None:
                if ident == own:
                    continue
                thread = threads[ident] = _Thread(ident)
            if thread.clock:
                try:
                    cpu = clock_gettime_ns(thread.clock)
                except OSError:  # that thread is no more, and another one has its identifier
                    thread.clock, cpu = _clock_of(ident), _UNKNOWN
                if cpu == thread.cpu != _UNKNOWN:
                    thread.count[0] += 1
                    continue
                thread.cpu = cpu
            self._look(thread, newest)

    def _look(self, thread: _Thread, frame: FrameType | None) -> None:
        codes: list[CodeType] = []
        instructions: list[int] = []
        add_code, add_instruction = codes.append, instructions.append
        while frame is not None:
            add_code(frame.f_code)
            add_instruction(frame.f_lasti)
            frame = frame.f_back
        key = (tuple(map(id, codes[:_DEEPEST])), tuple(instructions[:_DEEPEST]))
        found = thread.stacks.get(key)
        if found is None:
            if self.stacks >= MOST_STACKS:
                self.dropped += 1
                thread.cpu = _UNKNOWN
                return
            self.stacks += 1
            found = thread.stacks[key] = [0]
            # Kept, so that no other code has its id.
            self.codes.update(zip(key[0], codes, strict=False))
        found[0] += 1
        thread.count = found

    def answer(self) -> dict[str, Any]:
        """Return the samples as JSON has them.

        ``{"seconds", "samples", "dropped", "frames": [[function, file, line]...], "threads": [{"id", "name", "stacks":
        [[count, [frame, ...], waiting]...]}]}``, where a stack's frames are indexes, the oldest first, and ``waiting``
        says for what it waits, or null.
        """
        lines = _Lines(self.codes)
        threads = [
            {
                "id": thread,
                "name": self.names.get(thread, ""),
                "stacks": [lines.entry(key, count) for key, (count,) in seen.stacks.items()],
            }
            for thread, seen in self.threads.items()
        ]
        return {
            "seconds": self.seconds,
            "samples": self.count,
            "dropped": self.dropped,
            "frames": lines.frames,
            "threads": threads,
        }


class _Lines:
    """Functions and lines, each told once."""

    def __init__(self, codes: dict[int, CodeType]) -> None:
        self._codes = codes
        self._lines: dict[int, dict[int, int]] = {}
        self._indexes: dict[tuple[int, int], int] = {}
        self.frames: list[tuple[str, str, int]] = []

    def entry(self, key: _Key, count: int) -> tuple[int, list[int], str | None]:
        codes, instructions = key[0][::-1], key[1][::-1]
        stack = [self._index(code, instruction) for code, instruction in zip(codes, instructions, strict=True)]
        places = [(self._codes[code].co_filename, self._codes[code].co_name) for code in codes]
        _, file, line = self.frames[stack[-1]]
        return count, stack, waiting(places, line_of(file, line))

    def _index(self, code_id: int, instruction: int) -> int:
        line = self._line(code_id, instruction)
        index = self._indexes.get((code_id, line))
        if index is None:
            code = self._codes[code_id]
            index = self._indexes[code_id, line] = len(self.frames)
            self.frames.append((code.co_qualname, code.co_filename, line))
        return index

    def _line(self, code_id: int, instruction: int) -> int:
        table = self._lines.get(code_id)
        if table is None:
            table = {}
            for start, end, line in self._codes[code_id].co_lines():
                table.update(dict.fromkeys(range(start, end, 2), line or 0))
            self._lines[code_id] = table
        return table.get(instruction, self._codes[code_id].co_firstlineno)


def sample(
    seconds: float,
    hz: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], Any] = time.sleep,
) -> Samples:
    """Take ``hz`` samples a second for so long; those that would come late are left out."""
    found = Samples()
    own = threading.get_ident()
    begun = clock()
    due = begun
    while (now := clock()) < begun + seconds:
        if now >= due:
            found.take(own)
            due += 1 / hz
            if due < clock():
                due = clock() + 1 / hz
        else:
            sleep(due - now)
    found.names = names()
    found.seconds = clock() - begun
    return found
