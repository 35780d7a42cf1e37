"""``?scope=all``: the report of every process of the service."""

from collections.abc import Mapping
from typing import Any

from c2c_broadcast import broadcast
from c2c_broadcast.broadcast import Answers
from c2c_health._checks import Checks

# Beyond the deadline of the slowest check, for the way there and back.
_MARGIN = 2.0


def subscribe(registry: Any, checks: Checks) -> None:
    """Report to the other processes of this application."""

    def answer(max_level: str | None, names: list[str], stacktraces: bool) -> dict[str, Any]:
        return checks.report(max_level, names, None, stacktraces=stacktraces)

    broadcast.subscribe(_channel(registry), answer)


def ask_all(
    registry: Any, checks: Checks, max_level: str | None, names: list[str], *, stacktraces: bool
) -> dict[str, Any]:
    """Return the reports of all processes, put together."""
    slowest = max((check.timeout for check in checks.all), default=0.0)
    params = {"max_level": max_level, "names": names, "stacktraces": stacktraces}
    answers = broadcast.ask(_channel(registry), params, timeout=slowest + _MARGIN)
    return together(answers, checks.settings.failure_status)


def together(answers: Answers, failure_status: int) -> dict[str, Any]:
    """Return one report of all: ``summary`` ("3 of 4 pass"), who fails, who is missing, and each one's own report."""
    members = [answer for answer in answers.answers if isinstance(answer, Mapping)]
    failing = [
        {"hostname": member.get("hostname"), "pid": member.get("pid"), "checks": list(member["failures"])}
        for member in members
        if member.get("failures")
    ]
    failing += [
        {"hostname": failure.hostname, "pid": failure.pid, "message": f"{failure.type}: {failure.message}"}
        for failure in answers.failed
    ]
    missing = [
        {"hostname": member.hostname, "pid": member.pid, "last_seen": member.last_seen}
        for member in (*answers.missing, *answers.late)
    ]
    known = len(members) + len(answers.failed) + len(missing)
    passing = known - len(failing) - len(missing)
    found = {
        "summary": f"{passing} of {known} pass",
        "complete": answers.complete,
        "failing": failing,
        "missing": missing,
        "members": members,
    }
    return found if passing == known else {"status": failure_status, **found}


def by_member(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report of all processes as one in which each is a check, ``hostname/pid``: for the forms with rows.

    As its checks run at the same time, the slowest tells how long a process took.
    """
    failed = {_name(one): one.get("message") or f"fails: {', '.join(one['checks'])}" for one in found["failing"]}
    failed |= {_name(one): "no answer" for one in found["missing"]}
    rows = {name: {"level": 0, "timing": 0.0} for name in failed}
    for member in found["members"]:
        entries = [*member.get("successes", {}).values(), *member.get("failures", {}).values()]
        rows[_name(member)] = {part: max((entry[part] for entry in entries), default=0) for part in ("level", "timing")}
    return {
        "successes": {name: row for name, row in rows.items() if name not in failed},
        "failures": {name: {**rows[name], "message": message} for name, message in failed.items()},
    }


def _name(member: Mapping[str, Any]) -> str:
    return f"{member.get('hostname')}/{member.get('pid')}"


def _channel(registry: Any) -> str:
    return f"c2c_health_check {registry.package_name}"
