"""The check that all processes of the service run one version."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Unpack

from c2c_broadcast import broadcast
from c2c_broadcast.broadcast import Answers
from c2c_health._check import DEFAULT_TIMEOUT, Check, Degraded, JsonCheckException, Options, VersionSeen
from c2c_health.checks import Kind

# Of the check's deadline: what is missing is named before it is over.
_PART = 0.6


def channel(registry: Any) -> str:
    """Return the broadcast channel on which the processes of an application tell their version."""
    return f"c2c_health_version {registry.package_name}"


class Versions(Kind):
    """Adds checks of the version."""

    def add_version_check(self, name: str = "version", level: int = 2, **options: Unpack[Options]) -> None:
        """Check that all processes of the service run one version: ``{"version": hash, "count": processes}``.

        It is there by itself where there is a version file; this is to have it under another name or level.
        """
        registry = self._config.registry
        timeout = options.get("timeout", DEFAULT_TIMEOUT)

        def run(_request: Any) -> Any:
            answers = broadcast.ask(channel(registry), timeout=timeout * _PART)
            found: defaultdict[str, list[str]] = defaultdict(list)
            for answer in answers.answers:
                if isinstance(answer, Mapping):
                    found[str(answer.get("git_hash"))].append(f"{answer.get('hostname')}/{answer.get('pid')}")
            for version, names in found.items():
                registry["c2c_health.checks"].tell(VersionSeen(version, len(names)))
            return _judge(found, answers)

        self._add(Check(name=name, run=run, level=level, kind="version", **options))


def _judge(members: Mapping[str, list[str]], answers: Answers) -> Any:
    """Return the check's result; ``members`` is version -> the processes that run it."""
    if not members:
        raise JsonCheckException("no process told its version: the version file is missing or broken")
    if len(members) > 1:
        versions = dict(sorted(members.items(), key=lambda item: (-len(item[1]), item[0])))
        counts = ", ".join(f"{version} ({len(names)})" for version, names in versions.items())
        raise JsonCheckException(f"{len(members)} versions run: {counts}", {"versions": versions})
    [(version, names)] = members.items()
    result = {"version": version, "count": len(names)}
    silent: list[Any] = [*answers.failed, *answers.missing, *answers.late]
    if silent:
        raise Degraded(f"no answer from {', '.join(f'{one.hostname}/{one.pid}' for one in silent)}", result)
    if not answers.complete:
        raise Degraded("the other processes can't be asked: Redis is away", result)
    return result
