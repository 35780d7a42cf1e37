"""The WSGI application of the ini file named by ``C2CWSGIUTILS_CONFIG``: ``c2c_meta.wsgi:application``, for any server.

Importing this module does nothing. The application is built, once, when ``application`` is first read.
"""

import os
import pkgutil
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

from c2c_meta._ini import Ini, application_name, application_values, set_up_logging_once
from c2c_meta._run import config_path

# Package -> filter: ``filter(application, settings)`` returns a WSGI application. The innermost first: the profiler
# measures the application alone, and Sentry sees what the proxy's headers mean.
_WRAPPERS: Mapping[str, str] = {
    "c2c_debug": "c2c_debug.profiler:filter_wsgi_app",
    "c2c_sentry": "c2c_sentry:filter_wsgi_app",
    "c2c_rest": "c2c_rest.client_info:Filter",
}
_building = threading.Lock()


@cache
def _build(path: str) -> Any:
    """Return the application of an ini file inside the filter of each package that is not excluded."""
    application = create_application(path)

    from pyramid.config import global_registries

    from c2c_broadcast import load
    from c2c_meta._glue import MetaSettings

    # An application that is none of Pyramid's has the settings of its sections.
    settings = getattr(global_registries.last, "settings", None) or application_values(Ini(path))
    exclude = load(MetaSettings, settings).exclude
    for package, name in _WRAPPERS.items():
        if package not in exclude:
            application = pkgutil.resolve_name(name)(application, settings)
    return application


def create_application(configfile: str = "") -> Any:
    """Return a new application of an ini file without the filters of ``application``: logging first, then it.

    ``configfile`` is by default what ``C2CWSGIUTILS_CONFIG`` names, else ``/app/production.ini``.

    Raises:
        IniError: the file is missing or broken
    """
    from c2c_meta._coverage import start_coverage

    path = configfile.removeprefix("c2c://") or config_path(os.environ)
    start_coverage()
    set_up_logging_once(path)

    from plaster import PlasterURL

    from c2c_broadcast import broadcast
    from c2c_meta._loader import Loader

    ini = Ini(path)
    # The name that it has among the members; an application that includes the base sets up the rest.
    broadcast.init(application_values(ini), application_name(ini))
    return Loader(PlasterURL("c2c", path)).get_wsgi_app()


def get_application() -> Any:
    """Return ``application``, for a server that looks for names where this one is not before it is read: uWSGI.

    Raises:
        IniError: As of ``create_application``.
    """
    with _building:  # threads that ask at once wait for one building
        return _build(config_path(os.environ))


def __getattr__(name: str) -> Any:
    if name == "application":
        try:
            return get_application()
        except AttributeError as error:
            # Servers take an AttributeError from `getattr(module, "application")` for a misspelt name.
            raise RuntimeError(f"The application can't be built: AttributeError: {error}") from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
