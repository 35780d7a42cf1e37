"""The application of the ini file. Who asks for it here is of era 3."""

from typing import Any

from c2c_compat._era import called
from c2c_meta import wsgi

__all__ = ["create_application"]  # noqa: F822 # given by __getattr__


def __getattr__(name: str) -> Any:
    if name in {"application", "create_application"}:
        called(3, f"c2cwsgiutils.wsgi.{name}")
    return getattr(wsgi, name)
