"""The WSGI application of the ini file named by ``C2CWSGIUTILS_CONFIG``: ``c2c_meta.wsgi:application``, for any server.

Importing this module does nothing. The application is built, once, when ``application`` is first read.
"""

from typing import Any

from c2c_meta._application import Once

_once = Once()


def __getattr__(name: str) -> Any:
    if name == "application":
        return _once.get()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
