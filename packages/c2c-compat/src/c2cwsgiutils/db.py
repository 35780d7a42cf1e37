"""Primary and replica sessions."""

from typing import Any

from c2c_compat._sessions import (
    SessionFactory,
    get_engine,
    get_session_factory,
    get_tm_session,
    get_tm_session_pyramid,
    init,
    is_maintained,
)
from c2c_db import create_session, setup_session

__all__ = [
    "FORCE_READONLY",  # noqa: F822 # given by __getattr__
    "SessionFactory",
    "create_session",
    "get_engine",
    "get_session_factory",
    "get_tm_session",
    "get_tm_session_pyramid",
    "init",
    "setup_session",
]


def __getattr__(name: str) -> Any:
    if name == "FORCE_READONLY":
        return is_maintained()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
