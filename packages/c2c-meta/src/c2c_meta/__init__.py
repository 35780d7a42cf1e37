"""The whole c2c toolkit for Pyramid services: ``config.include("c2c_meta")``.

    import c2c_meta as c2c

    c2c.stats, c2c.db, c2c.health      # each package under its short name
    c2c.HealthCheck, c2c.setup_session # and every public name of each

Nothing is imported before it is asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # What __getattr__ gives. Of a name that two packages have the first one counts: _names.CLASHES.
    # isort: off
    import c2c_auth
    import c2c_broadcast as broadcast
    import c2c_db as db
    import c2c_debug as debug
    import c2c_health as health
    import c2c_logging as logging
    import c2c_page as page
    import c2c_rest as rest
    import c2c_sentry as sentry
    import c2c_stats as stats
    import c2c_testing
    from c2c_meta._bootstrap import bootstrap
    from c2c_meta._coverage import start_coverage
    from c2c_meta._glue import included_packages, includeme
    from c2c_meta._ini import IniError, ini_settings
    from c2c_meta._loader import Loader
    from c2c_broadcast import *  # noqa: F403 - all that is public
    from c2c_logging import *  # noqa: F403
    from c2c_sentry import *  # type: ignore[assignment]  # noqa: F403 - init
    from c2c_stats import *  # noqa: F403
    from c2c_rest import *  # noqa: F403
    from c2c_db import *  # type: ignore[assignment]  # noqa: F403 - init
    from c2c_health import *  # type: ignore[assignment]  # noqa: F403 - State
    from c2c_debug import *  # noqa: F403
    from c2c_page import *  # noqa: F403
    from c2c_auth import *  # noqa: F403
    from c2c_testing import *  # noqa: F403

    # isort: on
    auth, testing = c2c_auth, c2c_testing
else:
    from c2c_meta._names import find

    def __getattr__(name: str) -> object:
        value = globals()[name] = find(name)  # from now on it is there
        return value


__all__ = [
    "IniError",
    "Loader",
    "bootstrap",
    "broadcast",
    "db",
    "debug",
    "health",
    "included_packages",
    "includeme",
    "ini_settings",
    "logging",
    "page",
    "rest",
    "sentry",
    "start_coverage",
    "stats",
]
