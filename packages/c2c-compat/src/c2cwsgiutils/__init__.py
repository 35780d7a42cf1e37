"""The import name of c2cwsgiutils 3, on top of the c2c packages. All modules are names of what is elsewhere.

Beside the real c2cwsgiutils it refuses to be imported. Modules are imported when they are first asked for.
"""

import importlib
from importlib.util import find_spec
from typing import Any

from c2c_compat._refusal import refuse

__all__ = ["get_config_defaults", "get_logconfig_dict", "get_paste_config"]  # given by __getattr__

refuse()


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("c2c_compat._paste"), name)
    # Where importing setup_process sets the process up, looking at it is no reason to.
    if name == "setup_process" and importlib.import_module("c2c_compat._setup").by_import():
        raise AttributeError(f"import {__name__}.setup_process, which sets the process up")
    if find_spec(f"{__name__}.{name}"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
