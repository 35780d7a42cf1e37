"""Which side a request works on: a pure function of its method, path and route, and of the application's rules."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from c2c_broadcast import ConfigurationError
from c2c_db._roles import Role

# The safe methods (RFC 9110, 9.2.1) that services are asked with; whatever else comes may write.
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Decision:
    """The side that was chosen, and why."""

    role: Role
    reason: str


@dataclass(frozen=True, slots=True)
class RouteNames:
    """The condition "the request's route has one of these names"; see ``route_name``."""

    names: frozenset[str]


Condition = str | re.Pattern[str] | RouteNames
"""What ``force_master`` and ``force_slave`` hold: a regular expression (text or compiled), or route names."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The application's exceptions from the rule that reads use the replica and all else the primary."""

    primary_patterns: tuple[re.Pattern[str], ...] = ()
    replica_patterns: tuple[re.Pattern[str], ...] = ()
    primary_routes: frozenset[str] = frozenset()
    replica_routes: frozenset[str] = frozenset()


MAINTENANCE = Decision(Role.REPLICA, "maintenance")
_BY_METHOD_PRIMARY = Decision(Role.PRIMARY, "method")
_BY_METHOD_REPLICA = Decision(Role.REPLICA, "method")
_BY_FORCE_MASTER = Decision(Role.PRIMARY, "force_master")
_BY_FORCE_SLAVE = Decision(Role.REPLICA, "force_slave")


def route_name(*names: str) -> RouteNames:
    """Return the condition for ``force_master`` and ``force_slave`` that holds for requests of these routes."""
    return RouteNames(frozenset(names))


def make_rules(force_master: Iterable[Condition] | None, force_slave: Iterable[Condition] | None) -> Rules:
    """Compile what an application said.

    Raises:
        ConfigurationError: A pattern does not compile, or is neither text, nor pattern, nor ``route_name(...)``.
    """
    primary_patterns, primary_routes = _compiled("force_master", force_master)
    replica_patterns, replica_routes = _compiled("force_slave", force_slave)
    return Rules(primary_patterns, replica_patterns, primary_routes, replica_routes)


def decide(rules: Rules, method: str, path: str, route: str | None) -> Decision:
    """Return the side for a request; ``path`` with the route prefix, ``route`` its name where one matched."""
    target = f"{method} {path}"
    if route in rules.primary_routes or any(pattern.match(target) for pattern in rules.primary_patterns):
        return _BY_FORCE_MASTER
    if route in rules.replica_routes or any(pattern.match(target) for pattern in rules.replica_patterns):
        return _BY_FORCE_SLAVE
    return _BY_METHOD_REPLICA if method in _READS else _BY_METHOD_PRIMARY


def _compiled(name: str, conditions: Iterable[Condition] | None) -> tuple[tuple[re.Pattern[str], ...], frozenset[str]]:
    if isinstance(conditions, str):
        raise ConfigurationError(f"{name} is a list of patterns, not one text: write [{conditions!r}]")
    patterns: list[re.Pattern[str]] = []
    routes: set[str] = set()
    for condition in conditions or ():
        if isinstance(condition, RouteNames):
            routes |= condition.names
        elif isinstance(condition, str):
            try:
                patterns.append(re.compile(condition))
            except re.error as error:
                raise ConfigurationError(
                    f"{name}: {condition!r} is not a regular expression ({error}): correct it, "
                    "or escape it with re.escape()"
                ) from None
        elif isinstance(condition, re.Pattern) and isinstance(condition.pattern, str):
            patterns.append(condition)
        else:
            raise ConfigurationError(
                f"{name}: {condition!r} must be a regular expression (text or compiled), or route_name('...')"
            )
    return tuple(patterns), frozenset(routes)
