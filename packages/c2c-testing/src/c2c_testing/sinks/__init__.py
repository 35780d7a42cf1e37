"""Servers that only take in: statsd, syslog, Sentry, HTTP. Each is a thread of this process and a context manager.

They listen on free ports of 127.0.0.1 (statsd and syslog on a unix socket too), keep what they received, can be waited
for, and can be down and come back on the same port. The plugin has fixtures of the same names, new for each test.
"""

from typing import TYPE_CHECKING, Any

from c2c_testing.sinks._statsd import Metric, StatsdSink
from c2c_testing.sinks._syslog import SyslogMessage, SyslogSink

if TYPE_CHECKING:
    from c2c_testing.sinks._http import HttpSink, SentrySink

__all__ = ["HttpSink", "Metric", "SentrySink", "StatsdSink", "SyslogMessage", "SyslogSink"]


def __getattr__(name: str) -> Any:
    """Import what needs the extra ``c2c-testing[http]`` when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from c2c_testing.sinks import _http

    return getattr(_http, name)
