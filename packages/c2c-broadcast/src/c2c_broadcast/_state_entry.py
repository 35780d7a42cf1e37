"""One value of a shared state, with what orders and ends it."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

from c2c_broadcast._messages import BadMessageError, UnsendableError, decode, encode

MAX_VALUE = 64 * 1024
MAX_KEY = 200
_MAX_WORDS = 500
# What every JSON reader keeps exact (RFC 8259, section 6).
_MAX_VERSION = 2**53
_LONGEST_TTL = 10 * 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as some process set it.

    ``version`` counts the changes of the whole state, ``origin`` is the member that made this one; together they order
    concurrent changes the same everywhere. ``expires`` and ``changed`` are seconds since the epoch; ``expires`` is None
    for a value without end. ``reset`` marks the end of a value by hand: it is kept, so that nobody who missed it
    brings the value back.
    """

    key: str
    value: Any
    version: int
    origin: str
    changed: float
    expires: float | None = None
    who: str | None = None
    reason: str | None = None
    reset: bool = False

    @property
    def order(self) -> tuple[int, str]:
        """What decides between two entries of one key: the greater one is in force."""
        return self.version, self.origin

    @property
    def field(self) -> str:
        """The name of this entry in Redis. No other entry ever has it, so that nothing is ever overwritten there."""
        return f"{self.version}:{self.origin}:{self.key}"

    def active(self, now: float) -> bool:
        """Tell whether the value is in force at ``now``."""
        return not self.reset and (self.expires is None or now < self.expires)

    def ended(self, now: float) -> float | None:
        """Return when the value ended, None if it has not."""
        if self.reset:
            return self.changed
        return self.expires if self.expires is not None and self.expires <= now else None

    def dump(self) -> str:
        """Return the entry as JSON."""
        return encode(asdict(self))

    @classmethod
    def parse(cls, data: bytes | str | dict[str, Any]) -> Self:
        """Return the entry that ``dump`` wrote.

        Raises:
            BadMessageError: It is none.
        """
        fields = data if isinstance(data, dict) else decode(data)
        try:
            entry = cls(**fields)
        except TypeError:
            raise BadMessageError("it is no entry of a shared state") from None
        numbers = (entry.changed, 0.0 if entry.expires is None else entry.expires)
        texts = (entry.who or "", entry.reason or "", entry.origin)
        if (
            not (isinstance(entry.key, str) and 0 < len(entry.key) <= MAX_KEY)
            or not (type(entry.version) is int and 0 < entry.version < _MAX_VERSION)
            or not all(type(number) in {int, float} for number in numbers)
            or not all(isinstance(text, str) for text in texts)
            or not isinstance(entry.reset, bool)
        ):
            raise BadMessageError("an entry of a shared state has a field of the wrong kind")
        return entry


def checked_key(key: str) -> str:
    """Return ``key``.

    Raises:
        ValueError: It is no text of 1 to 200 characters.
    """
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY:
        raise ValueError(f"a key of a shared state is a text of 1 to {MAX_KEY} characters, not {key!r:.220}")
    return key


def checked_value(value: Any) -> Any:
    """Return ``value`` as JSON gives it back.

    Raises:
        ValueError: JSON can't hold it, or it is over 64 KiB.
    """
    try:
        text = encode(value)
    except UnsendableError as error:
        raise ValueError(f"a value of a shared state: {error}") from None
    if len(text) > MAX_VALUE:
        raise ValueError(f"a value of a shared state has at most {MAX_VALUE:,} bytes as JSON, not {len(text):,}")
    return decode(text)


def checked_ttl(ttl: float | None) -> float | None:
    """Return ``ttl``.

    Raises:
        ValueError: It is neither None nor a number of seconds between 0 and ten years.
    """
    if ttl is None:
        return None
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not math.isfinite(ttl) or ttl <= 0:
        raise ValueError(f"a ttl is a number of seconds greater than 0, or None, not {ttl!r:.50}")
    if ttl > _LONGEST_TTL:
        raise ValueError(f"a ttl is at most ten years, not {ttl!r:.50} seconds; None is without end")
    return float(ttl)


def words(text: str | None) -> str | None:
    """Return who or why, cut to a length that fits every log and page."""
    return None if text is None else str(text)[:_MAX_WORDS]
