"""Which version of the service this is, for code that wants to tell it: ``get_version()``."""

from collections.abc import Mapping
from typing import Any

from c2c_broadcast import load
from c2c_health._settings import HealthSettings
from c2c_health._versions import read

__all__ = ["get_version"]


def get_version(settings: Mapping[str, Any] | None = None) -> str | None:
    """Return the git hash in the version file; None where there is no file, or, with an error in the log, a broken one.

    Which file it is ``C2C_VERSIONS_PATH`` says, or ``c2c.versions_path`` in the ini ``settings``.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    found = read(load(HealthSettings, settings or {}).versions_path)
    return found.git_hash if found else None
