"""The application that is served: what the ini file says, wrapped."""

import importlib
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from c2c_meta._ini import Ini
from c2c_meta._ini_check import application_name, application_values
from c2c_meta._logging_setup import setup_logging
from c2c_meta._run import config_path


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A WSGI filter that c2c-run puts round the application.

    Args:
        package: the package that offers it, named as in ``c2c.exclude``
        module: where it is
        name: the function or class: ``filter(app, settings)`` returns a WSGI application
    """

    package: str
    module: str
    name: str

    def load(self) -> Callable[[Any, Mapping[str, Any]], Any] | None:
        """Return the filter, None where its package has none."""
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            # Something else that is missing is a broken installation, and says so.
            if error.name is None or not f"{self.module}.".startswith(f"{error.name}."):
                raise
            return None
        return getattr(module, self.name, None)


# The innermost first: the profiler measures the application alone, and Sentry sees what the proxy's headers mean.
WRAPPERS = (
    Wrapper("c2c_debug", "c2c_debug.profiler", "filter_wsgi_app"),
    Wrapper("c2c_sentry", "c2c_sentry", "filter_wsgi_app"),
    Wrapper("c2c_rest", "c2c_rest.client_info", "Filter"),
)


def wrap(
    application: Any,
    settings: Mapping[str, Any],
    wrappers: Iterable[Wrapper] = WRAPPERS,
    exclude: Collection[str] = (),
) -> Any:
    """Return the application inside each filter that its package offers and that is not excluded."""
    for wrapper in wrappers:
        if wrapper.package in exclude:
            continue
        put_round = wrapper.load()
        if put_round is not None:
            application = put_round(application, settings)
    return application


def bare(path: str) -> Any:
    """Return the application of an ini file as it is; logging is set up before anything of it is imported.

    Raises:
        IniError: the file is missing or broken
    """
    start_measuring()
    set_up_logging_once(path)

    from plaster import PlasterURL

    from c2c_broadcast import broadcast
    from c2c_meta._loader import Loader

    ini = Ini(path)
    # The name that it has among the members; an application that includes the base sets up the rest.
    broadcast.init(application_values(ini), application_name(ini))
    return Loader(PlasterURL("c2c", path)).get_wsgi_app()


def build(path: str) -> Any:
    """Return the wrapped application of an ini file.

    Raises:
        IniError: the file is missing or broken
    """
    application = bare(path)

    from pyramid.config import global_registries

    from c2c_broadcast import load
    from c2c_meta._settings import MetaSettings

    # An application that is none of Pyramid's has the settings of its sections.
    settings = getattr(global_registries.last, "settings", None) or application_values(Ini(path))
    return wrap(application, settings, exclude=load(MetaSettings, settings).exclude)


def start_measuring() -> None:
    """Begin coverage before anything else is imported, where ``COVERAGE`` asks for it."""
    if os.environ.get("COVERAGE"):
        from c2c_meta._coverage import start_coverage

        start_coverage()


@cache
def set_up_logging_once(path: str) -> bool:
    """Set logging up from an ini file, once a process and those it forks; return whether the file says how."""
    return setup_logging(Ini(path))


class Once:
    """The application of this process, built when it is asked for; threads that ask at once wait for one building."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._application: Any = None

    def get(self) -> Any:
        """Return the application that ``C2CWSGIUTILS_CONFIG`` names."""
        with self._lock:
            if self._application is None:
                try:
                    self._application = build(config_path(os.environ))
                except AttributeError as error:
                    # Servers take an AttributeError from `getattr(module, "application")` for a misspelt name.
                    raise RuntimeError(f"The application can't be built: AttributeError: {error}") from error
            return self._application
