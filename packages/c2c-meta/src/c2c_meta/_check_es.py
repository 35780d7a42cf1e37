"""``c2c-check-es``: are the logs in Elasticsearch? The age of the newest record, and how long a new one takes."""

import logging
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from c2c_broadcast import ConfigurationError, load, setting
from c2c_broadcast.command import Parser, one_line
from c2c_meta._elasticsearch import Elasticsearch, ElasticsearchError

_LOG = logging.getLogger("c2c_meta.check_es")
_JOB = "c2c_check_es"


def _filters(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError("give them as in name=value,name=value")
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """Where the logs are, and how long to wait for them."""

    url: str | None = setting(
        None,
        env="ES_URL",
        key=None,
        secret=True,
        help="where Elasticsearch is: `https://user:password@es.example.com:9200`",
    )
    indexes: tuple[str, ...] = setting(
        (), env="ES_INDEXES", key=None, help="indexes, data streams or patterns: `logstash-*`; by default all"
    )
    auth: str | None = setting(
        None, env="ES_AUTH", key=None, secret=True, help="`user:password`, or a whole header: `ApiKey ...`"
    )
    filters: tuple[tuple[str, str], ...] = setting(
        (),
        env="ES_FILTERS",
        key=None,
        parse=_filters,
        help="only records with these fields: `name=value,name=value`",
    )
    timestamp: str = setting("@timestamp", env="ES_TIMESTAMP", key=None, help="the field with a record's time")
    timeout: float = setting(10.0, env="ES_TIMEOUT", key=None, minimum=0.1, help="seconds for one question")
    log_timeout: float = setting(
        60.0, env="LOG_TIMEOUT", key=None, minimum=0, help="seconds to wait for the new record; 0 writes none"
    )
    log_interval: float = setting(1.0, env="LOG_INTERVAL", key=None, minimum=0.05, help="seconds between two questions")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure once; return 0, 1 where the new record did not come in time, 2 where nothing can be measured."""
    parser = Parser(
        "c2c-meta", prog="c2c-check-es", description=__doc__, epilog="Its settings are variables: see the README."
    )
    parser.add_argument("--prometheus-url", metavar="URL", help="Pushgateway that gets the gauges, too")
    parser.add_argument("--prometheus-instance", metavar="NAME", help="label `instance` of the pushed group")
    arguments = parser.parse_args(argv)
    try:
        settings = load(CheckSettings, {})
        _prepare()
        gauges = measure(settings)
    except (ConfigurationError, ElasticsearchError) as error:
        sys.stderr.write(f"c2c-check-es: {one_line(error)}\n")
        return 2
    return _report(gauges, settings, arguments.prometheus_url, arguments.prometheus_instance)


def measure(settings: CheckSettings) -> dict[str, float]:
    """Return the gauges, in seconds: ``max_age``, and ``roundtrip`` if the new record came.

    Raises:
        ConfigurationError: ``ES_URL`` is not set, or no URL
        ElasticsearchError: Elasticsearch can't be asked, or has no record at all
    """
    import c2c_stats as stats

    if settings.url is None:
        raise ConfigurationError("ES_URL is not set: where is Elasticsearch?")
    parts = urlsplit(settings.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError("ES_URL is no URL: give it as in https://es.example.com:9200")
    server = Elasticsearch(
        settings.url, settings.indexes, settings.auth, settings.filters, settings.timestamp, settings.timeout
    )
    newest = server.newest()
    if newest is None:
        places = ", ".join(settings.indexes) or "any index"
        raise ElasticsearchError(f"there is no record in {places} with a {settings.timestamp} (and ES_FILTERS)")
    gauges = {"max_age": max(0.0, time.time() - newest)}
    stats.set_gauge(["max_age"], gauges["max_age"])
    took = _round_trip(server, settings) if settings.log_timeout else None
    if took is not None:
        gauges["roundtrip"] = took
        stats.set_gauge(["roundtrip"], took)
    return gauges


def _round_trip(server: Elasticsearch, settings: CheckSettings) -> float | None:
    """Log something, and return after how many seconds it is in Elasticsearch."""
    token = uuid.uuid4().hex  # one word to any analyzer
    begin = time.monotonic()
    _LOG.info("A record that c2c-check-es waits for: %s", token)
    while True:
        asked = time.monotonic()
        if server.has(token):
            return time.monotonic() - begin
        if asked + settings.log_interval > begin + settings.log_timeout:
            return None
        time.sleep(settings.log_interval)


def _prepare() -> None:
    import c2c_logging
    import c2c_stats as stats

    c2c_logging.init()  # as the service does it: the record has to take the way of all others
    _LOG.setLevel(logging.INFO)
    stats.init_backends()


def _report(gauges: Mapping[str, float], settings: CheckSettings, gateway: str | None, instance: str | None) -> int:
    shown = [f"the newest record is {gauges['max_age']:.3f} s old"]
    if "roundtrip" in gauges:
        shown.append(f"a new one took {gauges['roundtrip']:.3f} s")
    sys.stdout.write("; ".join(shown) + "\n")
    if gateway:
        try:
            _push(gauges, gateway, instance)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"c2c-check-es: {one_line(error)}\n")
            return 2
    if settings.log_timeout and "roundtrip" not in gauges:
        sys.stderr.write(f"c2c-check-es: the new record is not there after {settings.log_timeout:g} s (LOG_TIMEOUT)\n")
        return 1
    return 0


def _push(gauges: Mapping[str, float], gateway: str, instance: str | None) -> None:
    from c2c_stats import StatsSettings
    from c2c_stats.prometheus import PushgatewayGroupPublisher

    publisher: Any = PushgatewayGroupPublisher(gateway, _JOB, instance)
    prefix = load(StatsSettings, {}).prometheus_prefix
    for name, value in gauges.items():
        publisher.add(f"{prefix}{name}", value)
    publisher.commit()


if __name__ == "__main__":
    sys.exit(main())
