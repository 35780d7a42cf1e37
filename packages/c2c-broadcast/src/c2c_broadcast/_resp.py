"""The Redis protocol, version 3 (RESP3), as far as a client needs it.

Source: https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md. Our own and not redis-py's,
because there a reply costs twice as much, and because replies and messages share one connection here.
"""

from collections.abc import Callable, Iterator
from typing import Any

# Redis itself cuts off a subscriber that has more than 32 MB to be sent.
_LONGEST_TEXT = 64 * 1024 * 1024
_LONGEST_LINE = 64 * 1024


class ProtocolError(Exception):
    """What came is not the Redis protocol."""


class ReplyError(Exception):
    """An error that Redis replied; it is a value here, not raised by the reader."""


class Push(list[Any]):
    """A message that came by itself, such as ``[b"message", channel, data]``."""


_MESSAGE = b">3\r\n$7\r\nmessage\r\n"
# How many replies are in one item. A map is a list of keys and values here.
_AGGREGATES = {b"*": 1, b">": 1, b"~": 1, b"%": 2}
_SCALARS: dict[bytes, Callable[[bytes], Any]] = {
    b"-": lambda rest: ReplyError(rest.decode(errors="replace")),
    b"_": lambda _: None,
    b"#": lambda rest: rest == b"t",
    b",": float,
    b"(": int,
}


class _IncompleteError(Exception):
    """The rest has not come yet."""


_INCOMPLETE = _IncompleteError()


def pack(*arguments: bytes | str | float) -> bytes:
    """Return a command as bytes."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Reader:
    """Turn bytes, in whatever pieces they come, into replies."""

    __slots__ = ("_buffer", "_position", "_wanted")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._wanted = 0

    def feed(self, data: bytes) -> Iterator[Any]:
        """Add ``data`` and yield each reply that is now whole.

        Raises:
            ProtocolError: This is not Redis.
        """
        self._buffer += data
        while self._position < len(self._buffer):
            if len(self._buffer) < self._wanted:
                return
            start = self._position
            try:
                reply = self._read()
            except _IncompleteError:
                self._position = start
                return
            except (ValueError, UnicodeDecodeError) as error:
                raise ProtocolError("a reply is malformed") from error
            self._wanted = 0
            if self._position == len(self._buffer):
                self._buffer.clear()
                self._position = 0
            elif self._position > _LONGEST_LINE:
                del self._buffer[: self._position]
                self._position = 0
            yield reply

    def _line(self) -> bytes:
        end = self._buffer.find(b"\r\n", self._position)
        if end < 0:
            if len(self._buffer) - self._position > _LONGEST_LINE:
                raise ProtocolError("a line without end")
            raise _INCOMPLETE
        line = bytes(self._buffer[self._position : end])
        self._position = end + 2
        return line

    def _length(self) -> int:
        line = self._line()
        if line[:1] != b"$":
            raise ProtocolError("a message without a text")
        return int(line[1:])

    def _text(self, length: int) -> bytes | None:
        if length < 0:
            return None
        if length > _LONGEST_TEXT:
            raise ProtocolError(f"a text of {length} bytes")
        end = self._position + length
        if len(self._buffer) < end + 2:
            self._wanted = end + 2
            raise _INCOMPLETE
        text = bytes(self._buffer[self._position : end])
        self._position = end + 2
        return text

    def _read(self) -> Any:
        # Most of what comes is this; to read it in one go halves the cost.
        if self._buffer.startswith(_MESSAGE, self._position):
            self._position += len(_MESSAGE)
            return Push((b"message", self._text(self._length()), self._text(self._length())))
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return self._text(int(rest))
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        many = _AGGREGATES.get(kind)
        if many is None:
            return self._read_rare(kind, rest)
        length = int(rest)
        items = [self._read() for _ in range(length * many)]
        return Push(items) if kind == b">" else None if length < 0 else items

    def _read_rare(self, kind: bytes, rest: bytes) -> Any:
        if kind == b"|":  # attributes of the reply that follows
            for _ in range(2 * int(rest)):
                self._read()
            return self._read()
        if kind in b"!=" and kind:
            text = self._text(int(rest)) or b""
            return ReplyError(text.decode(errors="replace")) if kind == b"!" else text[4:]
        scalar = _SCALARS.get(kind)
        if scalar is None:
            raise ProtocolError("a reply is of no kind that Redis knows")
        return scalar(rest)
