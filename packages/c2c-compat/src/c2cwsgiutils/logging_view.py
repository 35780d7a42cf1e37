"""Log levels at run time."""

from c2c_compat._include import including

init = includeme = install_subscriber = including("c2c_logging")
