"""The public mapping of backends: what is on, and what users add."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Protocol


class Backend(Protocol):
    """Where metrics go. ``key`` is a sequence of parts, ``tags`` a mapping or None."""

    def timer(self, key: Sequence[Any], duration: float, tags: Mapping[str, Any] | None = None) -> None:
        """Take a duration in seconds."""

    def gauge(self, key: Sequence[Any], value: float, tags: Mapping[str, Any] | None = None) -> None:
        """Take the present value of something."""

    def counter(self, key: Sequence[Any], increment: float, tags: Mapping[str, Any] | None = None) -> None:
        """Take a number to add."""


class Backends(MutableMapping[str, Backend]):
    """Name -> backend; true when one is on. One that is added here gets every value as it is recorded."""

    def __init__(self, changed: Any) -> None:
        self._found: dict[str, Backend] = {}
        self._changed = changed

    def __getitem__(self, name: str) -> Backend:
        return self._found[name]

    def __setitem__(self, name: str, backend: Backend) -> None:
        self._found[name] = backend
        self._changed()

    def __delitem__(self, name: str) -> None:
        del self._found[name]
        self._changed()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._found))

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"<Backends {', '.join(self._found) or 'none'}>"
