"""JSON errors."""

from c2c_compat._include import including

init = includeme = including("c2c_rest")
