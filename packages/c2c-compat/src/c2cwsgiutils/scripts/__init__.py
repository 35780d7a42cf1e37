"""Commands, as far as services import them."""

import importlib
from typing import Any

__all__ = []


def __getattr__(name: str) -> Any:
    if name == "genversion":
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
