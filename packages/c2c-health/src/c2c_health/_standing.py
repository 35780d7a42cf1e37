"""How often in a row a check must say something before it is believed: pure functions of plain data."""

from dataclasses import dataclass

from c2c_health._check import Check
from c2c_health._outcomes import Outcome, State, Verdict


@dataclass(frozen=True, slots=True)
class Standing:
    """What a check counts as (None before its first run), and how many runs since said otherwise."""

    passing: bool | None = None
    against: int = 0


UNKNOWN = Standing()


def after(standing: Standing, *, passed: bool, failures: int, successes: int) -> Standing:
    """Return the standing after one more run. The first run is believed at once."""
    if standing.passing is None or standing.passing is passed:
        return Standing(passed)
    against = standing.against + 1
    if against >= (successes if passed else failures):
        return Standing(passed)
    return Standing(standing.passing, against)


def verdict(check: Check, standing: Standing, outcome: Outcome) -> Verdict:
    """Return what is reported of a check whose last run had this outcome and led to this standing."""
    if standing.against == 0:
        return Verdict(check.name, check.level, outcome.state, outcome, outcome.message)
    if standing.passing:
        message = f"failed {standing.against} of {check.failures} times before it counts: {outcome.message}"
        return Verdict(check.name, check.level, State.DEGRADED, outcome, message)
    message = f"passed {standing.against} of {check.successes} times before it counts"
    return Verdict(check.name, check.level, State.FAILED, outcome, message)
