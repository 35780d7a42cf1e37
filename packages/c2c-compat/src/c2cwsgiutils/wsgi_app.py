"""The application that servers ask for: ``c2cwsgiutils.wsgi_app:application``. Built when it is first read."""

from typing import Any

from c2c_compat._era import called
from c2c_meta import wsgi

__all__ = ["application"]  # noqa: F822 # given by __getattr__


def __getattr__(name: str) -> Any:
    if name in __all__:
        called(3, f"c2cwsgiutils.wsgi_app:{name}")
    return getattr(wsgi, name)
