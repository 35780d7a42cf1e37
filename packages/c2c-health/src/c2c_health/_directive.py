"""``config.add_health_check``: how checks come to an application."""

from collections.abc import Callable
from typing import Any, Unpack

from pyramid.config import Configurator

from c2c_broadcast import ConfigurationError
from c2c_health._check import Check, Options, taking_request
from c2c_health._checks import checks_of


def add_health_check(
    config: Configurator,
    check: Check | str,
    check_cb: Callable[..., Any] | None = None,
    level: int = 1,
    **options: Unpack[Options],
) -> None:
    """Add a check: ``config.add_health_check("disk", check_cb, level=2)``, or a ``Check``.

    ``check_cb`` takes the request (or nothing), and returns something JSON can hold (or None), or raises. See
    ``Options`` for what else one may say.

    Raises:
        ConfigurationError: The check makes no sense, or there are two of one name.
    """
    if not isinstance(check, Check):
        if check_cb is None:
            raise ConfigurationError(f"Health check {check}: add_health_check(name, check_cb) wants a function")
        check = Check(name=check, run=taking_request(str(check), check_cb), level=level, **options)
    elif check_cb is not None or level != 1 or options:
        raise ConfigurationError(f"Health check {check.name}: a Check says everything itself, leave the rest out")
    checks = checks_of(config.registry)
    if checks.live:
        checks.add(check)
        return
    introspectable = config.introspectable("c2c health checks", check.name, check.name, "c2c health check")
    introspectable.update(check.about)
    # As said by the application itself, whoever says it: a check of an included package that is silently replaced by
    # another of its name would be one that is never red.
    path, config.includepath = config.includepath, ()
    try:
        config.action(("c2c health check", check.name), checks.add, args=(check,), introspectables=(introspectable,))
    finally:
        config.includepath = path
