"""What goes into one datagram."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from c2c_stats._series import Series


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines to send, and what they stand for: ``values`` durations, or ``amount`` of a counter or gauge ``series``."""

    text: bytes
    series: Series | None = None
    values: int = 1
    amount: float = 0.0


def pack(chunks: Iterable[Chunk], most: int) -> Iterator[list[Chunk]]:
    """Put chunks together to datagrams of ``most`` bytes, lines separated by a new line."""
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


def about(chunks: list[Chunk]) -> tuple[int, list[tuple[Series, float]]]:
    """Return what is to be known of a datagram once it is sent: its number of values, and what could be sent again."""
    kept = [(chunk.series, chunk.amount) for chunk in chunks if chunk.series is not None]
    return sum(chunk.values for chunk in chunks), kept
