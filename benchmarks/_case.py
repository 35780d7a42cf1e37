"""The shape of what every benchmark gives: a module's ``cases()`` yields them, ``python -m benchmarks`` prints them.

A module of a benchmark has ``def cases() -> Iterator[Case | Missing | Growth]``. Contenders alternate: a round of each,
again and again, so that what else the machine does hits all of them alike. Where the rounds' ratios are apart all the
same, they are measured again; what stays apart is called noisy, and no bar is said to be met by it.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

NOISY = 0.2
"""The spread of a ratio above which nothing is said to be met."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """What one contender took: one sample a round, in the case's unit."""

    name: str
    samples: tuple[float, ...]
    # Bars: ours divided by this contender's is to be at most, or at least, this. None: no bar.
    most: float | None = None
    least: float | None = None

    @property
    def median(self) -> float:
        """Return the median of the rounds."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """Return how far the middle half of the rounds is apart (interquartile range), as a part of the median."""
        return _spread(self.samples)

    def over(self, base: "Measured") -> "Measured":
        """Return what this took on top of ``base``, round by round."""
        return replace(self, samples=tuple(a - b for a, b in zip(self.samples, base.samples, strict=True)))

    def ratio_to(self, other: "Measured") -> float | None:
        """Return how many times the other's this is: the median of the rounds' ratios, where rounds were shared."""
        ratios = self._ratios(other)
        return statistics.median(ratios) if ratios else None

    def spread_beside(self, other: "Measured") -> float:
        """Return how far the middle half of the rounds' ratios is apart, as a part of their median."""
        return _spread(self._ratios(other))

    def _ratios(self, other: "Measured") -> tuple[float, ...]:
        if len(self.samples) != len(other.samples):
            return (self.median / other.median,) if other.median else ()
        return tuple(a / b for a, b in zip(self.samples, other.samples, strict=True) if b)

    def bar(self, *, most: float | None = None, least: float | None = None) -> "Measured":
        """Return the same with the bar that ours has against it."""
        return replace(self, most=most, least=least)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: what is measured, ours, and what a user would otherwise pick."""

    name: str
    unit: str  # us, ms, s, MB; of a rate 1/s
    ours: Measured
    peers: tuple[Measured, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """A case, or a peer of one, that could not be measured here, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Growth:
    """How a figure grows: at each size (of ``of``), what it takes in ``unit``."""

    name: str
    of: str
    unit: str
    points: tuple[tuple[int, float], ...]


def alternate(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Measured]:
    """Ask each contender for a sample, in turn, ``rounds`` times; each goes first equally often.

    Where ratios to the first contender are more than ``NOISY`` apart all is measured again, twice at most; the quietest
    time is what counts.
    """
    found = []
    for _ in range(_TRIES):
        found.append(_rounds(contenders, rounds))
        if _unrest(found[-1]) <= NOISY:
            break
    return min(found, key=_unrest)


def _rounds(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Measured]:
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(contenders[name]())
    return {name: Measured(name, tuple(taken)) for name, taken in samples.items()}


def _unrest(found: Mapping[str, Measured]) -> float:
    first, *others = found.values()
    return max((first.spread_beside(other) for other in others), default=0.0)


def _spread(values: Sequence[float]) -> float:
    if len(values) < 2 or not statistics.median(values):  # noqa: PLR2004 # quartiles need two
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return abs((high - low) / middle)


def timed(
    call: Callable[[], object], times: int, scale: float = 1e6, clock: Callable[[], float] = time.perf_counter
) -> Callable[[], float]:
    """Return a contender: ``times`` calls, their mean duration; ``scale`` makes the unit of seconds (us)."""

    def sample() -> float:
        start = clock()
        for _ in range(times):
            call()
        return (clock() - start) / times * scale

    return sample
