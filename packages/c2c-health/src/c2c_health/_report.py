"""The report of health as data: ``successes``, ``failures``, and the status of the answer."""

from collections.abc import Iterable
from typing import Any

from c2c_health._outcomes import State, Verdict


def report(
    verdicts: Iterable[Verdict], *, highest: float = float("inf"), failure_status: int = 500, stacktraces: bool = False
) -> dict[str, Any]:
    """Return the report: ``status`` is there when something failed; ``timing`` is in seconds.

    A failure of a level above ``highest`` is a success that tells its trouble: ``outcome`` is ``degraded``.
    """
    successes: dict[str, Any] = {}
    failures: dict[str, Any] = {}
    for verdict in verdicts:
        passing = verdict.passing or verdict.level > highest
        (successes if passing else failures)[verdict.name] = _entry(verdict, passing, stacktraces)
    found: dict[str, Any] = {"successes": successes, "failures": failures}
    return {"status": failure_status, **found} if failures else found


def _entry(verdict: Verdict, passing: bool, stacktraces: bool) -> dict[str, Any]:
    outcome = verdict.outcome
    entry: dict[str, Any] = {"timing": round(outcome.seconds, 6), "level": verdict.level}
    if verdict.state is not State.PASSED:
        entry["message"] = verdict.message
        if passing:
            entry["outcome"] = str(State.DEGRADED)
    if outcome.result is not None:
        entry["result"] = outcome.result
    if stacktraces and outcome.stacktrace and not verdict.passing:
        entry["stacktrace"] = outcome.stacktrace
    return entry
