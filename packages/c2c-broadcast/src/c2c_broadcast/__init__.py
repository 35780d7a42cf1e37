"""The base of the c2c packages: settings, operator access, operator views, broadcast, shared state."""

from c2c_broadcast._base_settings import BroadcastSettings
from c2c_broadcast._errors import BroadcastError, ConfigurationError
from c2c_broadcast._mask import Masker, mask
from c2c_broadcast._settings import Declaration, Resolved, declarations, family, load, resolve, setting

__all__ = [
    "BroadcastError",
    "BroadcastSettings",
    "ConfigurationError",
    "Declaration",
    "Masker",
    "Resolved",
    "declarations",
    "family",
    "load",
    "mask",
    "resolve",
    "setting",
]
