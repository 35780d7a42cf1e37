"""What goes into one datagram."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from c2c_stats._series import Series


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines to send, and what they stand for: ``values`` records of ``series``, or an increment of ``amount``."""

    text: bytes
    series: Series
    values: int = 1
    amount: float = 0.0


def pack(chunks: Iterable[Chunk], most: int) -> Iterator[list[Chunk]]:
    """Put chunks together to datagrams of ``most`` bytes, lines separated by a new line; 0 puts nothing together."""
    packed: list[Chunk] = []
    used = 0
    for chunk in chunks:
        if packed and used + len(chunk.text) > most:
            yield packed
            packed, used = [], 0
        packed.append(chunk)
        used += len(chunk.text) + 1
    if packed:
        yield packed
