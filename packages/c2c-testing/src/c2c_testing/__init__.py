"""Acceptance-test tools: local servers, compositions, HTTP connections, images.

The classes that tests begin with are here too, and imported when they are first asked for: the pytest plugin below this
package is loaded by every pytest of an environment.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c2c_testing.composition import Composition, LocalComposition
    from c2c_testing.connection import CacheExpected, Connection
    from c2c_testing.print import PrintConnection

__all__ = ["CacheExpected", "Composition", "Connection", "LocalComposition", "PrintConnection"]


def __getattr__(name: str) -> Any:
    for module in ("connection", "composition", "print") if name in __all__ else ():
        there = importlib.import_module(f"{__name__}.{module}")
        if name in there.__all__:
            return getattr(there, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
