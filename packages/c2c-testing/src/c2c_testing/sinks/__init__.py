"""Servers that only take in: statsd, syslog, Sentry, HTTP. Each is a thread of this process and a context manager.

They listen on free ports of 127.0.0.1 (statsd and syslog on a unix socket too), keep what they received, can be waited
for, and can be down and come back on the same port. The plugin has fixtures of the same names, new for each test.
"""

from c2c_testing.sinks._http import HttpSink, SentrySink
from c2c_testing.sinks._statsd import Metric, StatsdSink
from c2c_testing.sinks._syslog import SyslogMessage, SyslogSink

__all__ = ["HttpSink", "Metric", "SentrySink", "StatsdSink", "SyslogMessage", "SyslogSink"]
