"""Which c2cwsgiutils a service was written for, 3 or 6, and what that one did by default.

An era is nothing but defaults of settings: what the ini file or the environment says wins.
"""

import configparser
import logging
import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal

from c2c_broadcast import load, setting
from c2c_broadcast.settings import warn_once

_LOG = logging.getLogger(__name__)
_VARIABLE = "C2C_COMPAT_ERA"
_KEY = "c2c.compat_era"
_SAID = "c2c_compat.era_said"
_NO_EFFECT = ("C2C_REDIS_PUBSUB_RETRY_DELAY", "C2C_REDIS_PUBSUB_GET_MESSAGE_TIMEOUT")
# A requirement of a distribution: the name, extras, then the range.
_REQUIREMENT = re.compile(r"c2cwsgiutils *(?:\[[^\]]*\])? *\(?((?:[<>=!~^][^;)]*)?)\)?", re.IGNORECASE)
_LOWER = re.compile(r"(?:>=|==|~=|>|\^) *([0-9]+)")

_ALWAYS = {
    # A slave is whatever database the URL names, and a GET that writes does what it did. What a client wrote it reads
    # for a while (``c2c.db.read_your_writes``): such a slave has no position to wait for.
    "c2c.db.replica_kind": "any",
    "c2c.db.enforce_readonly": "false",
    "c2c.redirects_no_cache": "true",
    "c2c.health.status_key": "false",
    "c2c.health.redis_name": "url",
    # A replica that is away fails its check at the check's own level.
    "c2c.health.replica_required": "true",
}
_DEFAULTS: Mapping[int, Mapping[str, str]] = {
    3: {**_ALWAYS, "c2c.stats_public_reset": "true"},
    6: {
        **_ALWAYS,
        "c2c.debug_unknown_types": "none",
        "c2c.enable_exception_handling": "false",
        "c2c.json.pretty_print": "false",
        "c2c.json.sort_keys": "false",
        "c2c.health.unknown_checks": "report",
        "c2c.versions_public": "false",
        "c2c.prometheus_names": "c2cwsgiutils6",
        "c2c.prometheus_prefix": "c2cwsgiutils_",
        "c2c.prometheus_buckets": "none",
    },
}

_called: list[tuple[int, str]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class CompatSettings:
    """What c2c-compat itself reads."""

    compat_era: Literal["3", "6"] | None = setting(
        None,
        env=_VARIABLE,
        key=_KEY,
        help="the c2cwsgiutils that the service was written for, `3` or `6`; unset: found out, and said at start",
    )


@dataclass(frozen=True, slots=True)
class Era:
    """The era, and how it was found out."""

    number: int
    reason: str


def called(number: int, name: str) -> None:
    """Note that something was called that only one era has; what the master noted holds in its workers."""
    _called.append((number, name))


def era_of(settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Era:
    """Return the era of this process's service.

    Raises:
        ConfigurationError: The setting is neither 3 nor 6.
    """
    said = load(CompatSettings, settings, environ).compat_era
    if said is not None:
        return Era(int(said), f"{_VARIABLE} (ini key {_KEY}) says so")
    calls = [*_called, (3, "c2cwsgiutils_run")] if environ.get("C2CWSGIUTILS_RUN") else _called
    for number in (6, 3):
        name = next((name for found, name in calls if found == number), None)
        if name is not None:
            return Era(number, f"{name} was called")
    return next(_found(settings, environ), Era(3, "nothing of 6 was found"))


def set_defaults(settings: MutableMapping[str, Any]) -> Era:
    """Give the settings what the era's c2cwsgiutils did by default, where they say nothing themselves."""
    era = era_of(settings)
    for key, value in _DEFAULTS[era.number].items():
        settings.setdefault(key, value)
    if era.number == 6 and os.environ.get("C2C_PROMETHEUS_PORT"):  # noqa: PLR2004 # one door
        settings.setdefault("c2c.metrics_path", "none")
    return era


def say_once(era: Era, registry: Any) -> None:
    """Say in one line, once an application, which era it is, why, and what changes that."""
    if _SAID not in registry:
        registry[_SAID] = era
        for name in _NO_EFFECT:
            if os.environ.get(name) or registry.settings.get(name.lower().replace("c2c_", "c2c.", 1)):
                _LOG.debug("%s has no effect: nothing polls", name)
        _LOG.info("c2c-compat does as c2cwsgiutils %s did: %s; %s changes it", era.number, era.reason, _VARIABLE)


def warn_of_six(name: str, registry: Any) -> None:
    """Warn where something of 6 is called in an application that was taken for one of 3."""
    era = registry.get(_SAID)
    if era is not None and era.number != 6:  # noqa: PLR2004 # the era's number
        text = "%s is of c2cwsgiutils 6, and this service was taken for one of 3: set %s=6"
        warn_once(_LOG, text, name, _VARIABLE)


def _found(settings: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Era]:
    path = str(settings.get("__file__") or environ.get("C2CWSGIUTILS_CONFIG") or "/app/production.ini")
    what = _of_ini(path)
    if what:
        yield Era(6, f"{path} has {what}")
    for one in distributions():
        for text in one.requires or ():
            match = _REQUIREMENT.fullmatch(text.partition(";")[0].strip())
            lowest = match and _LOWER.search(match[1])
            if lowest and int(lowest[1]) >= 4:  # noqa: PLR2004 # a range without 3.x
                yield Era(6, f"the distribution {one.metadata['Name']} requires {text}")


def _of_ini(path: str) -> str | None:
    """Return what of an ini file only 6 understood. Arguments of handlers as ``args`` are what only 3 did."""
    ini = configparser.RawConfigParser(strict=False)
    try:
        ini.read_string(Path(path.partition("#")[0]).read_text("utf-8"))
    except (OSError, ValueError, configparser.Error):
        return None
    handlers = [ini[name] for name in ini.sections() if name.startswith("handler_")]
    if any("kwargs" in handler for handler in handlers):
        return "a handler with kwargs"
    if any("args" in handler for handler in handlers):
        return None
    pipelines = [ini[name].get("pipeline", "") for name in ini.sections() if name.startswith("pipeline:")]
    return "a pipeline with egg:c2cwsgiutils#" if any("egg:c2cwsgiutils#" in one for one in pipelines) else None
