"""Where c2c-stats-db sends its numbers: statsd, a Pushgateway, the log."""

import logging
import time
from collections.abc import Iterable
from typing import Protocol

from c2c_stats._notices import say
from c2c_stats._series import identify
from c2c_stats._settings import StatsSettings
from c2c_stats._stats_db._queries import Measure
from c2c_stats._statsd import Format, Sender
from c2c_stats.prometheus._exposition import prometheus_name

_LOG = logging.getLogger("c2c_stats.db")
# Between two datagrams: so that thousands of lines do not overrun the server's buffer.
_PAUSE = 0.002


class Report(Protocol):
    """Something that takes the numbers."""

    def send(self, measures: Iterable[Measure]) -> None:
        """Send all; OSError where that fails."""


class LogReport:
    """Logs each number."""

    def send(self, measures: Iterable[Measure]) -> None:
        """Log all, at level INFO."""
        for one in measures:
            _LOG.info("%s %s = %s", one.kind, dict(one.tags), one.value)


class StatsdReport:
    """Sends gauges to statsd, without the limit of series that holds for services: a database has what it has."""

    def __init__(self, settings: StatsSettings) -> None:
        assert settings.statsd_address is not None
        self._address = settings.statsd_address
        self._use_tags = settings.statsd_use_tags
        self._form = Format(settings.statsd_prefix, settings.statsd_tags, self._address.datagram)

    def send(self, measures: Iterable[Measure]) -> None:
        """Send all.

        Raises:
            OSError: A datagram could not be sent.
        """
        sender = Sender(self._address)
        packed: list[bytes] = []
        try:
            for one in measures:
                key = one.kind.split(".") if self._use_tags else [*one.kind.split("."), *one.tags.values()]
                wire = self._form.wire(identify("gauge", key, one.tags if self._use_tags else None))
                line = self._form.gauge(wire, one.value)
                if packed and sum(map(len, packed)) + len(packed) + len(line) > self._form.datagram:
                    self._flush(sender, packed)
                    packed = []
                packed.append(line)
            if packed:
                self._flush(sender, packed)
            if sender.settle()[1]:
                raise OSError(f"statsd at {self._address} refuses")
        finally:
            sender.close()
            say()

    def _flush(self, sender: Sender, lines: list[bytes]) -> None:
        if not sender.send(b"\n".join(lines)):
            raise OSError(f"statsd at {self._address} can't be reached")
        time.sleep(_PAUSE)


class PushgatewayReport:
    """Pushes gauges to a Pushgateway, job ``c2c_stats_db``."""

    def __init__(self, url: str, instance: str | None, prefix: str) -> None:
        from c2c_stats.prometheus._push import PushgatewayGroupPublisher

        self._publisher = PushgatewayGroupPublisher(url, "c2c_stats_db", instance)
        self._prefix = prefix

    def send(self, measures: Iterable[Measure]) -> None:
        """Push all as one group.

        Raises:
            OSError: The gateway can't be reached, or refuses.
        """
        for one in measures:
            name = prometheus_name(tuple(one.kind.split(".")), self._prefix)
            self._publisher.add(name, one.value, metric_labels=one.tags, metric_help=one.help)
        self._publisher.commit()
