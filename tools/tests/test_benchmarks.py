"""What the benchmarks say of a case: its ratio, and met, missed or noisy."""

import itertools

import pytest

from benchmarks._case import Growth, measured

OURS, PEER = "ours", "the peer's"


def bars(samples, **bar):
    """Return what is said of the peer's row, and how often ours was asked."""
    asked = []
    values = itertools.cycle(samples)

    def ours():
        asked.append(next(values))
        return asked[-1]

    case = measured(
        "a case", "us", {OURS: ours, PEER: lambda: 2.0}, 10, **{kind: {PEER: at} for kind, at in bar.items()}
    )
    first, second = case.rows()
    assert first[:2] == ("a case", OURS)
    return second[4:], len(asked)


@pytest.mark.parametrize(
    ("bar", "said"),
    [
        ({"most": 0.5}, "<= 0.5: met"),
        ({"most": 0.4}, "<= 0.4: MISSED"),
        ({"least": 0.5}, ">= 0.5: met"),
        ({"least": 0.6}, ">= 0.6: MISSED"),
        ({}, ""),
    ],
)
def test_a_quiet_case(bar, said):
    """It is measured once; the ratio is the median of the rounds' ratios."""
    assert bars([1.0], **bar) == (("0.500", said), 10)


def test_what_stays_apart_is_noisy():
    """It is measured three times, and no bar is met by it, whatever the ratio."""
    (_, said), asked = bars([0.2, 0.4, 0.6, 0.8], most=2.0)
    assert asked == 30
    assert said.startswith("<= 2: noisy, ")


def test_a_noise_that_ends():
    """The quietest time counts."""
    assert bars([*[0.2, 0.4, 0.6, 0.8, 0.9] * 2, *[1.0] * 20], most=0.5) == (("0.500", "<= 0.5: met"), 20)


def test_growth():
    """What a size takes stands beside it."""
    assert Growth("a line", "us", {100: 1.0, 32_000: 1234.5}).row() == ("a line", "100: 1.000 us, 32,000: 1,234 us")
