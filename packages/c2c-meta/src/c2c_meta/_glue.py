"""What ``config.include("c2c_meta")`` does: all packages, in order, and what joins two of them.

With ``_glue_stats`` the only place that knows two packages at once.
"""

import importlib
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from c2c_broadcast import ConfigurationError, load, setting
from c2c_meta._coverage import start_coverage
from c2c_meta._names import PACKAGES

if TYPE_CHECKING:  # gunicorn's master imports this, too
    from pyramid.config import Configurator

_KEY = "c2c_meta.included"
# What operators change at run time: package -> name of the shared state that holds it, and what it is.
_STATES = {
    "c2c_logging": ("log_levels", "log level"),
    "c2c_db": ("c2c_db.maintenance", "database"),
    "c2c_debug": ("c2c_debug_sql_profiler", "SQL profiler"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaSettings:
    """What of the toolkit takes part."""

    exclude: tuple[str, ...] = setting(
        (),
        env="C2C_EXCLUDE",
        key="c2c.exclude",
        help="packages left out, by import name: c2c_sentry c2c_debug",
    )


def includeme(config: "Configurator") -> None:
    """Add the whole toolkit: ``config.include("c2c_meta")``.

    The setting ``c2c.exclude`` names packages to leave out, by import name; the base can't be one.

    Raises:
        ConfigurationError: ``c2c.exclude`` names something else, or a setting of a package can't be read.
    """
    start_coverage()
    settings = load(MetaSettings, config.get_settings())
    names = [name for name in PACKAGES if name != "c2c_broadcast"] + ["c2c_auth"]
    unknown = sorted(set(settings.exclude) - set(names))
    if unknown:
        raise ConfigurationError(
            f"C2C_EXCLUDE (ini key c2c.exclude) names {', '.join(unknown)}: there are {', '.join(names)}"
        )
    if _KEY in config.registry:  # a second time, after a commit
        return
    config.include("c2c_broadcast")
    if find_spec("c2c_auth") is None:
        names.remove("c2c_auth")
    included = config.registry[_KEY] = []
    for name in names:
        if name not in settings.exclude and hasattr(importlib.import_module(name), "includeme"):
            config.include(name)
            included.append(name)
    _join(config, frozenset(included))


def included_packages(registry: Any) -> tuple[str, ...]:
    """Return the import names of the packages that take part in an application."""
    return tuple(registry.get(_KEY, ()))


def _join(config: "Configurator", included: frozenset[str]) -> None:
    """Join those of the packages that take part in this application."""
    if "c2c_page" in included:
        _fill_page(config, included)
    if {"c2c_db", "c2c_health"} <= included:
        from c2c_health import HealthCheck

        HealthCheck(config).when_live(_check_replicas)
    if "c2c_stats" in included:
        from c2c_meta._glue_stats import measure

        measure(config, included)


def _fill_page(config: "Configurator", included: frozenset[str]) -> None:
    """Tell the index page what operators change at run time, how the checks go, and which version runs."""
    from c2c_broadcast import SharedState
    from c2c_page import CheckHistory

    for package, (name, what) in _STATES.items():
        if package in included:
            config.add_page_state(what, SharedState(name))
    seen: list[str] = []
    config.add_page_fact("git", lambda: seen[0] if seen else None)
    checks = CheckHistory()
    config.add_page_fact("health", checks.found)
    if "c2c_health" in included:
        from c2c_health import HealthCheck, HealthChecked, VersionSeen

        health_check = HealthCheck(config)
        health_check.on_event(HealthChecked, checks)
        # The first one is of this process itself, from its start-up.
        health_check.on_event(VersionSeen, lambda event: None if seen else seen.append(event.version))


def _check_replicas(registry: Any) -> None:
    """Watch state and lag of each replica, once all databases are known: checks ``db_replica_<engine name>``."""
    from c2c_db import databases

    health_check = registry["health_check"]
    for database in databases(registry).values():
        for engine in map(vars, database.engines[1:]):
            # Where its reads go to the primary meanwhile, one that is away is no reason to take the service out.
            level = 2 if engine["c2c_fails_over"] else 1
            # Where the engine's own check is red then, this one only says more: it is in no report of the usual levels.
            level, shown_from = (3, 3) if health_check.settings.replica_required else (level, 1)
            name = engine["c2c_name"]
            look = partial(check_replica, database, name)
            health_check.add_custom_check(f"db_replica_{name}", look, level=level, shown_from=shown_from)


def check_replica(database: Any, name: str, _request: Any) -> dict[str, Any]:
    """Return how a replica is: state, lag in seconds, and since when (seconds since the epoch).

    Raises:
        JsonCheckException: It gets no reads: it lags, is offline, or is no replica.
    """
    from c2c_db import State
    from c2c_health import JsonCheckException

    status = next(status for status in database.replica_states() if status.engine == name)
    result = {"state": str(status.state), "lag": status.lag, "since": round(status.since, 3)}
    if status.state is State.USABLE:
        return result
    raise JsonCheckException(f"{name} is {status.state}: {status.reason}", result)
