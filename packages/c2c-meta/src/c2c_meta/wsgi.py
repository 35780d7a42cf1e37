"""The WSGI application of the ini file named by ``C2CWSGIUTILS_CONFIG``: ``c2c_meta.wsgi:application``, for any server.

Importing this module does nothing. The application is built, once, when ``application`` is first read.
"""

import os
from typing import Any

from c2c_meta._application import Once, bare
from c2c_meta._run import config_path

_once = Once()


def create_application(configfile: str = "") -> Any:
    """Return a new application of an ini file without the filters of ``application``: logging first, then it.

    ``configfile`` is by default what ``C2CWSGIUTILS_CONFIG`` names, else ``/app/production.ini``.

    Raises:
        IniError: the file is missing or broken
    """
    return bare(configfile.removeprefix("c2c://") or config_path(os.environ))


def get_application() -> Any:
    """Return ``application``, for a server that looks for names where this one is not before it is read: uWSGI.

    Raises:
        IniError: As of ``create_application``.
    """
    return _once.get()


def __getattr__(name: str) -> Any:
    if name == "application":
        return _once.get()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
