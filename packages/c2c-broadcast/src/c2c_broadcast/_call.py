"""One ``ask`` while it waits."""

import threading
from collections.abc import Iterable
from typing import Any

from c2c_broadcast._answers import Failure
from c2c_broadcast._roster import Member


class Call:
    """What is expected and what has come; the asking thread waits, other threads report.

    It is done when everybody expected has answered and it is known whom to expect.
    """

    __slots__ = (
        "_lock",
        "_wake",
        "answered",
        "answers",
        "channel",
        "doubtful",
        "expected",
        "failed",
        "healthy",
        "known",
        "missing",
        "reached",
        "working",
    )

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.expected: dict[str, Member] = {}
        self.answered: set[str] = set()
        self.working: set[str] = set()
        self.answers: list[Any] = []
        self.failed: list[Failure] = []
        self.missing: dict[str, Member] = {}
        # Members that Redis may not have reached, or that were silent lately: check them before waiting for them.
        self.doubtful: dict[str, Member] = {}
        self.known = False  # whom to expect of the other processes
        self.healthy = True
        self.reached = 0
        self._lock = threading.Lock()
        self._wake = threading.Lock()
        self._wake.acquire()

    @property
    def done(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.known and not self.doubtful and self.expected.keys() <= self.answered

    def wait(self, seconds: float) -> None:
        """Wait until something wants the asking thread's attention, at most so long."""
        self._wake.acquire(timeout=max(seconds, 0.0))

    def expect(self, members: Iterable[Member], doubtful: Iterable[Member] = ()) -> None:
        """Say whom of the other processes to expect: after this it is known."""
        with self._lock:
            self.expected.update((member.id, member) for member in members)
            self.doubtful.update((member.id, member) for member in doubtful if member.id not in self.answered)
            self.known = True
            self._notify()

    def give_up(self, member: Member, *, missing: bool) -> None:
        """Wait for a member no longer; name it as missing, or not."""
        with self._lock:
            self.doubtful.pop(member.id, None)
            if member.id not in self.answered:
                self.expected.pop(member.id, None)
                if missing:
                    self.missing[member.id] = member

    def trust(self, member: Member) -> None:
        """Wait for a member that was doubtful."""
        with self._lock:
            self.doubtful.pop(member.id, None)
            self.expected[member.id] = member

    def lost(self) -> None:
        """Say that Redis is away: nobody else can answer any more."""
        with self._lock:
            self.healthy = False
            self.known = True
            self.doubtful.clear()
            self._notify()

    def add_answer(self, member: str, answer: Any) -> None:
        """Take a member's answer."""
        with self._lock:
            if member not in self.answered:
                self.answers.append(answer)
                self._add(member)

    def add_failure(self, member: str, failure: Failure) -> None:
        """Take a member's failed answer."""
        with self._lock:
            if member not in self.answered:
                self.failed.append(failure)
                self._add(member)

    def add_working(self, member: str) -> None:
        """Take a member's word that it is at work."""
        with self._lock:
            self.working.add(member)

    def unanswered(self) -> list[Member]:
        """Return those expected that have not answered."""
        with self._lock:
            return [member for id_, member in self.expected.items() if id_ not in self.answered]

    def _add(self, member: str) -> None:
        self.answered.add(member)
        self.missing.pop(member, None)
        self.doubtful.pop(member, None)
        self._notify()

    def _notify(self) -> None:
        if (self.doubtful or self.done or not self.healthy) and self._wake.locked():
            self._wake.release()
