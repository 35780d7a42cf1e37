"""The check that all processes of the service run one version."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from c2c_broadcast import broadcast
from c2c_health._check import DEFAULT_TIMEOUT, Check, Degraded, JsonCheckException, Options, VersionSeen
from c2c_health.version import Versions

# Of the check's deadline: what is missing is named before it is over.
_PART = 0.6


def _channel(registry: Any) -> str:
    return f"c2c_health_version {registry.package_name}"


def subscribe(registry: Any, versions: Versions) -> None:
    """Answer the version checks of the other processes."""
    answer = {"git_hash": versions.git_hash, "git_tag": versions.git_tag}
    broadcast.subscribe(_channel(registry), lambda: answer)


def version_check(
    registry: Any, name: str, level: int, tell: Callable[[VersionSeen], None], **options: Unpack[Options]
) -> Check:
    """Return the check; ``tell`` hears of each version and how many processes run it."""
    timeout = options.get("timeout", DEFAULT_TIMEOUT)

    def run(_request: Any) -> Any:
        answers = broadcast.ask(_channel(registry), timeout=timeout * _PART)
        found: defaultdict[str, list[str]] = defaultdict(list)
        for answer in answers.answers:
            if isinstance(answer, Mapping):
                found[str(answer.get("git_hash"))].append(f"{answer.get('hostname')}/{answer.get('pid')}")
        for version, names in found.items():
            tell(VersionSeen(version, len(names)))
        silent: list[Any] = [*answers.failed, *answers.missing, *answers.late]
        return judge(found, [f"{one.hostname}/{one.pid}" for one in silent], complete=answers.complete)

    return Check(name=name, run=run, level=level, kind="version", **options)


def judge(members: Mapping[str, list[str]], silent: list[str], *, complete: bool) -> Any:
    """Return the check's result; ``members`` is version -> the processes that run it.

    Raises:
        JsonCheckException: There is more than one version, or none.
        Degraded: One version, but not every process told.
    """
    if not members:
        raise JsonCheckException("no process told its version: the version file is missing or broken")
    if len(members) > 1:
        versions = dict(sorted(members.items(), key=lambda item: (-len(item[1]), item[0])))
        counts = ", ".join(f"{version} ({len(names)})" for version, names in versions.items())
        raise JsonCheckException(f"{len(members)} versions run: {counts}", {"versions": versions})
    [(version, names)] = members.items()
    result = {"version": version, "count": len(names)}
    if silent:
        raise Degraded(f"no answer from {', '.join(silent)}", result)
    if not complete:
        raise Degraded("the other processes can't be asked: Redis is away", result)
    return result
