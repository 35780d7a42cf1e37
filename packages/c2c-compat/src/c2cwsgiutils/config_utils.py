"""Settings of the environment and the ini file, as services of c2cwsgiutils 6 ask for them."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from c2c_broadcast import settings_of

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0", ""})


def env_or_config(
    config: Any,
    env_name: str | None = None,
    config_name: str | None = None,
    default: Any = None,
    type_: Callable[[str], Any] = str,
) -> Any:
    """Return the environment's value, else the ini file's, else the default; empty is as if it were not there."""
    return env_or_settings(config.get_settings() if config is not None else {}, env_name, config_name, default, type_)


def env_or_settings(
    settings: Mapping[str, Any] | None,
    env_name: str | None = None,
    settings_name: str | None = None,
    default: Any = None,
    type_: Callable[[str], Any] = str,
) -> Any:
    """Return the environment's value, else that of the settings, else the default; ``type_`` makes it of the text."""
    for source, name in ((os.environ, env_name), (settings or {}, settings_name)):
        value = source.get(name) if name else None
        if value is not None and value != "":
            return type_(value)
    return default


def config_bool(value: str | bool | None) -> bool:
    """Tell whether a text means true.

    Raises:
        ValueError: It means neither true nor false.
    """
    text = "" if value is None else str(value).strip().lower()
    if text not in _TRUE | _FALSE:
        raise ValueError(f"{value!r} is neither true nor false: say true, yes, on, 1 or false, no, off, 0")
    return text in _TRUE


def get_base_path(config: Any) -> str:
    """Return the path of the operators' views, without the application's prefix."""
    config.include("c2c_broadcast")
    return settings_of(config.registry).base_path
