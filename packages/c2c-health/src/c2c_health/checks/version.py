"""The check that all processes of the service run one version."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Unpack

from c2c_broadcast import broadcast
from c2c_broadcast.broadcast import Answers, Failure, Missing
from c2c_health._check import DEFAULT_TIMEOUT, Check, Degraded, JsonCheckException, Options
from c2c_health._versions import Versions

# Of the check's deadline: what is missing is named before it is over.
_PART = 0.6


def channel_of(registry: Any) -> str:
    """Return the broadcast channel on which the processes of an application tell their version."""
    return f"c2c_health_version {registry.package_name}"


def subscribe(registry: Any, versions: Versions) -> None:
    """Answer the version checks of the other processes."""
    broadcast.subscribe(channel_of(registry), _Answer(versions))


class _Answer:
    """What this process answers."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def __call__(self) -> dict[str, Any]:
        return {"git_hash": self._versions.git_hash, "git_tag": self._versions.git_tag}


def version_check(
    registry: Any, name: str, level: int, seen: Callable[[str, int], None], **options: Unpack[Options]
) -> Check:
    """Return the check; ``seen`` is told of each version and how many processes run it."""
    timeout = options.get("timeout", DEFAULT_TIMEOUT)

    def run(_request: Any) -> Any:
        answers = broadcast.ask(channel_of(registry), timeout=timeout * _PART)
        members = by_version(answers.answers)
        for version, names in members.items():
            seen(version, len(names))
        return judge(members, unheard(answers), complete=answers.complete)

    return Check(name=name, run=run, level=level, kind="version", **options)


def by_version(answers: Iterable[Any]) -> dict[str, list[str]]:
    """Return version -> the processes that run it, each as ``hostname/pid``; most processes first."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for answer in answers:
        if isinstance(answer, Mapping):
            found[str(answer.get("git_hash"))].append(f"{answer.get('hostname')}/{answer.get('pid')}")
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def unheard(answers: Answers) -> list[str]:
    """Return the processes that did not tell, each as ``hostname/pid``."""
    silent: list[Failure | Missing] = [*answers.failed, *answers.missing, *answers.late]
    return [f"{member.hostname}/{member.pid}" for member in silent]


def judge(members: Mapping[str, list[str]], silent: list[str], *, complete: bool) -> Any:
    """Return the check's result.

    Raises:
        JsonCheckException: There is more than one version, or none.
        Degraded: One version, but not every process told.
    """
    if not members:
        raise JsonCheckException("no process told its version: the version file is missing or broken")
    if len(members) > 1:
        counts = ", ".join(f"{version} ({len(names)})" for version, names in members.items())
        raise JsonCheckException(f"{len(members)} versions run: {counts}", {"versions": dict(members)})
    [(version, names)] = members.items()
    result = {"version": version, "count": len(names)}
    if silent:
        raise Degraded(f"no answer from {', '.join(silent)}", result)
    if not complete:
        raise Degraded("the other processes can't be asked: Redis is away", result)
    return result
