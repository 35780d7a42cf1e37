"""Scripts and daemons. Importing this sets the process up in era 3, and does nothing in era 6."""

from c2c_compat._script import (
    PyramidEnv,
    bootstrap_application,
    bootstrap_application_from_options,
    fill_arguments,
    init,
    init_logging,
)
from c2c_compat._setup import set_up_by_import

__all__ = [
    "PyramidEnv",
    "bootstrap_application",
    "bootstrap_application_from_options",
    "fill_arguments",
    "init",
    "init_logging",
]

set_up_by_import()
