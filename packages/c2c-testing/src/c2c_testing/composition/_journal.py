"""What containers say, and which of them died."""

import threading
from collections import deque
from dataclasses import dataclass

_LINES = 10_000
_LONGEST_LINE = 10_000
_LAST_LINES = 30


class ContainerDiedError(RuntimeError):
    """A container, or a local process in its place, ended by itself; the message has its last lines."""


@dataclass(frozen=True, slots=True)
class Death:
    """A container's end that nobody asked for, and its last lines."""

    container: str
    status: int
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join((f"{self.container} died with status {self.status}; its last lines:", *self.lines))


class Journal:
    """The lines of all containers, the newest 10,000 of them, and the deaths. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[tuple[str, str]] = deque(maxlen=_LINES)
        self._count = 0
        self._deaths: dict[str, Death] = {}
        self._reported: set[Death] = set()

    def put(self, container: str, line: str) -> None:
        """Note a line."""
        with self._lock:
            self._count += 1
            self._lines.append((container, line.rstrip("\r\n")[:_LONGEST_LINE]))

    def mark(self) -> int:
        """Return how many lines there were so far."""
        with self._lock:
            return self._count

    def since(self, mark: int = 0) -> list[str]:
        """Return the lines after a mark, oldest first, each after its container's name."""
        with self._lock:
            new = min(self._count - mark, len(self._lines))
            return [f"{container} | {line}" for container, line in list(self._lines)[len(self._lines) - new :]]

    def lines_of(self, container: str) -> list[str]:
        """Return one container's lines, oldest first."""
        with self._lock:
            return [line for name, line in self._lines if name == container]

    def died(self, container: str, status: int) -> None:
        """Note an end that nobody asked for; the lines before it have to be there."""
        last = tuple(self.lines_of(container)[-_LAST_LINES:])
        with self._lock:
            self._deaths[container] = Death(container, status, last)

    def lives(self, container: str) -> None:
        """Forget a death: it was started again."""
        with self._lock:
            self._deaths.pop(container, None)

    def check(self) -> None:
        """Raise ContainerDiedError if one died."""
        with self._lock:
            deaths = list(self._deaths.values())
            self._reported.update(deaths)
        if deaths:
            raise ContainerDiedError("\n\n".join(map(str, deaths)))

    def check_unreported(self) -> None:
        """Raise ContainerDiedError if one died that no check has told of."""
        with self._lock:
            news = set(self._deaths.values()) - self._reported
        if news:
            self.check()
