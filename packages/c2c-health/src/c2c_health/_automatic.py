"""The checks that come by themselves, when an application is complete."""

from typing import Any

from c2c_broadcast import settings_of
from c2c_health import _version_check
from c2c_health._checks import Checks

_LEVEL = 2
VERSION = "version"


def go_live(registry: Any, checks: Checks) -> None:
    """Add what the application did not say itself: its Redis, where one is set, and its version, where it is known."""
    if checks.live:
        return
    checks.live = True
    base = settings_of(registry)
    if base.redis_url or base.redis_sentinels:
        from c2c_health._redis import own_redis_check

        check = own_redis_check(base, _LEVEL)
        if not checks.named(check.name):
            checks.add(check)
    if checks.versions is not None:
        _version_check.subscribe(registry, checks.versions)
        if not any(check.kind == "version" for check in checks.all) and not checks.named(VERSION):
            checks.add(_version_check.version_check(registry, VERSION, _LEVEL, checks.version_seen))
        checks.version_seen(checks.versions.git_hash, 1)
