"""Settings of the environment and the ini file."""

from c2c_compat._config_utils import config_bool, env_or_config, env_or_settings, get_base_path

__all__ = ["config_bool", "env_or_config", "env_or_settings", "get_base_path"]
