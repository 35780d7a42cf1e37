"""The report of health as data: ``successes``, ``failures``, and the status of the answer."""

from collections.abc import Iterable
from typing import Any

from c2c_health._outcomes import State, Verdict


def report(verdicts: Iterable[Verdict], *, failure_status: int = 500, stacktraces: bool = False) -> dict[str, Any]:
    """Return the report: ``status`` is there when something failed; ``timing`` is in seconds."""
    successes: dict[str, Any] = {}
    failures: dict[str, Any] = {}
    for verdict in verdicts:
        (successes if verdict.passing else failures)[verdict.name] = _entry(verdict, stacktraces)
    found: dict[str, Any] = {"successes": successes, "failures": failures}
    return {"status": failure_status, **found} if failures else found


def _entry(verdict: Verdict, stacktraces: bool) -> dict[str, Any]:
    outcome = verdict.outcome
    entry: dict[str, Any] = {"timing": round(outcome.seconds, 6), "level": verdict.level}
    if not verdict.passing:
        entry["message"] = verdict.message
    elif verdict.state is State.DEGRADED:
        entry["warning"] = verdict.message
    if outcome.result is not None:
        entry["result"] = outcome.result
    if stacktraces and outcome.stacktrace and not verdict.passing:
        entry["stacktrace"] = outcome.stacktrace
    return entry
