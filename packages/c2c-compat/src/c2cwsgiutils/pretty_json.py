"""JSON renderers."""

from c2c_compat._include import including
from c2c_compat._pretty_json import FastDumps as _FastDumps

__all__ = ["_FastDumps", "includeme", "init"]

init = includeme = including("c2c_rest")
