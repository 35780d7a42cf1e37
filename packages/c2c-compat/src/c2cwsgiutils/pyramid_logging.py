"""Log handlers, and logging for scripts."""

from c2c_logging import JsonLogHandler, PyramidCeeSysLogHandler, init

__all__ = ["JsonLogHandler", "PyramidCeeSysLogHandler", "init"]
