"""Questions about the operators' secret that services ask themselves."""

from dataclasses import make_dataclass
from typing import Any

from c2c_broadcast import BroadcastSettings, load, setting, settings_of


def get_expected_secret(request: Any) -> str:
    """Return the operators' secret, "" where none is configured."""
    return settings_of(request.registry).secret or ""


def is_enabled(config: Any, env_name: str | None = None, config_name: str | None = None) -> bool:
    """Tell whether a view for operators has a place: there is a secret, and its switch, where it has one, is on.

    Args:
        config: the Configurator
        env_name: the environment variable of the switch
        config_name: its ini key

    Raises:
        ConfigurationError: The switch is neither true nor false.
    """
    settings = config.get_settings()
    if load(BroadcastSettings, settings).secret is None:
        return False
    if env_name is None and config_name is None:
        return True
    switch = make_dataclass("_Switch", [("on", bool, setting(False, env=env_name, key=config_name, help="its switch"))])
    return bool(load(switch, settings).on)
