"""``bootstrap``: a script or a daemon with what the service has, without its HTTP server."""

import os
from collections.abc import Mapping
from typing import Any

import plaster
from pyramid import paster

import c2c_sentry
import c2c_stats
from c2c_broadcast import broadcast, load
from c2c_meta._coverage import start_coverage
from c2c_meta._glue import MetaSettings
from c2c_meta._run import config_path


def bootstrap(config_uri: str = "", request: Any = None, options: Mapping[str, str] | None = None) -> Any:
    """Set this process up as the service is: logging, then the application, Sentry, metrics, and broadcasts.

    Args:
        config_uri: ``production.ini``, ``/app/production.ini#name``, ``c2c://production.ini`` (all may use the
            environment); by default the file of ``C2CWSGIUTILS_CONFIG``
        request: as for ``pyramid.paster.bootstrap``
        options: more names for ``%(NAME)s``

    Returns:
        what ``pyramid.paster.bootstrap`` does: a dict with ``app``, ``root``, ``request``, ``registry`` and ``closer``,
        to be used in a ``with`` statement, or closed by ``closer()``

    Raises:
        IniError: the file is missing or broken
    """
    start_coverage()
    uri = config_uri or config_path(os.environ)
    if "://" not in uri and not uri.startswith("c2c+egg:"):
        uri = f"c2c://{uri}"
    plaster.setup_logging(uri, options)
    environment = paster.bootstrap(uri, request, options)
    # What an application that includes the packages has done already: errors, metrics, broadcasts.
    registry = environment["registry"]
    exclude = load(MetaSettings, registry.settings).exclude
    if "c2c_sentry" not in exclude:
        c2c_sentry.init(registry.settings)
    if "c2c_stats" not in exclude and not c2c_stats.BACKENDS:
        c2c_stats.init_backends(registry.settings)
    if "c2c_broadcast.settings" not in registry:
        broadcast.init(registry.settings)
    broadcast.start()
    return environment
