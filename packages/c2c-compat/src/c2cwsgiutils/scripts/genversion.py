"""What wrote ``versions.json``."""

from c2c_compat._package_version import package_version as _get_package_version

__all__ = ["_get_package_version"]
