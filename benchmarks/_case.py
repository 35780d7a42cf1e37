"""What every benchmark gives: a module's ``cases()`` yields cases, ``python -m benchmarks`` prints them.

Contenders alternate: a round of each, again and again, so that what else the machine does hits all of them alike.
(pyperf runs one contender after the other: on a machine that others use, that compares times of day.) Where the rounds'
ratios are apart all the same, they are measured again; what stays apart is called noisy, and no bar is met by it.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

NOISY = 0.2
"""The spread of a ratio above which nothing is said to be met."""
_TRIES = 3

HEAD = ("case", "contender", "median", "spread", "ours is", "bar")
Row = tuple[str, str, str, str, str, str]
Sample = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: of each contender, ours first, its samples in ``unit``, one a round.

    Bars, by contender: ours divided by this one's is to be at most, or at least, that.
    """

    name: str
    unit: str  # us, ms, s, MB; of a rate 1/s
    samples: Mapping[str, Sequence[float]]
    most: Mapping[str, float] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)

    def ratios(self, peer: str) -> list[float]:
        """Return, round by round, how many times the other's ours is."""
        ours = next(iter(self.samples.values()))
        return [a / b for a, b in zip(ours, self.samples[peer], strict=True)]

    def unrest(self) -> float:
        """Return how far ratios are apart, of the peer where this is most."""
        return max((spread(self.ratios(peer)) for peer in list(self.samples)[1:]), default=0.0)

    def rows(self) -> Iterator[Row]:
        """Give the row of ours, then of each peer."""
        for name, taken in self.samples.items():
            ours = name == next(iter(self.samples))
            figures = f"{number(statistics.median(taken))} {self.unit}", f"{spread(taken) * 100:.0f} %"
            yield self.name if ours else "", name, *figures, *(("", "") if ours else self._verdict(name))

    def _verdict(self, peer: str) -> tuple[str, str]:
        ratio, apart = statistics.median(self.ratios(peer)), spread(self.ratios(peer))
        bars = []
        for sign, bar in (("<=", self.most.get(peer)), (">=", self.least.get(peer))):
            if bar is not None:
                met = ratio <= bar if sign == "<=" else ratio >= bar
                said = f"noisy, {apart * 100:.0f} %" if apart > NOISY else "met" if met else "MISSED"
                bars.append(f"{sign} {bar:.3g}: {said}")
        return f"{ratio:.3f}", ", ".join(bars)


@dataclass(frozen=True, slots=True)
class Missing:
    """A case that could not be measured here, and why."""

    name: str
    why: str

    def rows(self) -> Iterator[Row]:
        """Give the one row."""
        yield self.name, f"not measured: {self.why}", "", "", "", ""


@dataclass(frozen=True, slots=True)
class Growth:
    """How a figure grows: at each size what it takes in ``unit``."""

    name: str
    unit: str
    points: Mapping[int, float]

    def row(self) -> tuple[str, str]:
        """Return its name, and what it takes at each size."""
        return self.name, ", ".join(f"{size:,}: {number(taken)} {self.unit}" for size, taken in self.points.items())


Found = Case | Missing | Growth


def measured(
    name: str,
    unit: str,
    contenders: Mapping[str, Sample],
    rounds: int,
    most: Mapping[str, float] | None = None,
    least: Mapping[str, float] | None = None,
) -> Case:
    """Ask each contender for a sample, in turn, ``rounds`` times; each goes first equally often.

    Where ratios to the first contender are more than ``NOISY`` apart all is measured again, twice at most; the quietest
    time is what counts.
    """
    found: list[Case] = []
    while not found or (found[-1].unrest() > NOISY and len(found) < _TRIES):
        samples: dict[str, list[float]] = {name: [] for name in contenders}
        names = list(contenders)
        for turn in range(rounds):
            first = turn % len(names)
            for one in names[first:] + names[:first]:
                samples[one].append(contenders[one]())
        found.append(Case(name, unit, samples, most or {}, least or {}))
    return min(found, key=Case.unrest)


def timed(call: Callable[[], object], times: int, scale: float = 1e6, clock: Sample = time.perf_counter) -> Sample:
    """Return a contender: ``times`` calls, their mean duration; ``scale`` makes the unit of seconds (us)."""

    def sample() -> float:
        start = clock()
        for _ in range(times):
            call()
        return (clock() - start) / times * scale

    return sample


def spread(values: Sequence[float]) -> float:
    """Return how far the middle half of values is apart (interquartile range), as a part of their median."""
    if len(values) < 2:  # noqa: PLR2004 # quartiles need two
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return abs((high - low) / middle) if middle else 0.0


def number(value: float) -> str:
    """Return a figure with three or four digits."""
    return f"{value:,.{3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0}f}"  # noqa: PLR2004 # as said above
