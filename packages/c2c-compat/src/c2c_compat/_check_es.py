"""``c2c-check-es``: are the logs in Elasticsearch? The age of the newest record, and how long a new one takes.

https://www.elastic.co/docs/reference/elasticsearch/rest-apis/search-request
"""

import base64
import logging
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import requests

import c2c_logging
import c2c_stats as stats
from c2c_broadcast import ConfigurationError, load, setting
from c2c_broadcast.command import Parser, one_line

_LOG = logging.getLogger("c2c_compat.check_es")
_LONGEST_REASON = 200


class ElasticsearchError(Exception):
    """Elasticsearch (or OpenSearch) can't be asked, or what it answers is of no use."""


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
        "c2c-compat", prog="c2c-check-es", description=__doc__, epilog="Its settings are variables: see the README."
    )
    parser.parse_args(argv)
    try:
        settings = load(CheckSettings, {})
        c2c_logging.init()  # as the service does it: the record has to take the way of all others
        _LOG.setLevel(logging.INFO)
        stats.init_backends()
        gauges = measure(settings)
        shown = [f"the newest record is {gauges['max_age']:.3f} s old"]
        if "roundtrip" in gauges:
            shown.append(f"a new one took {gauges['roundtrip']:.3f} s")
        sys.stdout.write("; ".join(shown) + "\n")
    except (ConfigurationError, ElasticsearchError) as error:
        sys.stderr.write(f"c2c-check-es: {one_line(error)}\n")
        return 2
    if settings.log_timeout and "roundtrip" not in gauges:
        sys.stderr.write(f"c2c-check-es: the new record is not there after {settings.log_timeout:g} s (LOG_TIMEOUT)\n")
        return 1
    return 0


def measure(settings: CheckSettings) -> dict[str, float]:
    """Return the gauges, in seconds: ``max_age``, and ``roundtrip`` if the new record came.

    Raises:
        ConfigurationError: ``ES_URL`` is not set, or no URL
        ElasticsearchError: Elasticsearch can't be asked, or has no record at all
    """
    if settings.url is None:
        raise ConfigurationError("ES_URL is not set: where is Elasticsearch?")
    parts = urlsplit(settings.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError("ES_URL is no URL: give it as in https://es.example.com:9200")
    newest = _newest(settings)
    if newest is None:
        places = ", ".join(settings.indexes) or "any index"
        raise ElasticsearchError(f"there is no record in {places} with a {settings.timestamp} (and ES_FILTERS)")
    gauges = {"max_age": max(0.0, time.time() - newest)}
    stats.set_gauge(["max_age"], gauges["max_age"])
    took = _round_trip(settings) if settings.log_timeout else None
    if took is not None:
        gauges["roundtrip"] = took
        stats.set_gauge(["roundtrip"], took)
    return gauges


def _newest(settings: CheckSettings) -> float | None:
    """Return the time of the newest record, seconds since the epoch, None where there is none."""
    answer = _search(settings, {"size": 0, "aggs": {"newest": {"max": {"field": settings.timestamp}}}})
    try:
        value = answer["aggregations"]["newest"]["value"]  # milliseconds
        return None if value is None else float(value) / 1000
    except (KeyError, TypeError, ValueError):
        raise ElasticsearchError("the answer has no aggregations.newest.value") from None


def _round_trip(settings: CheckSettings) -> float | None:
    """Log something, and return after how many seconds it is in Elasticsearch, in any field of a record."""
    token = uuid.uuid4().hex  # one word to any analyzer
    phrase = {"multi_match": {"query": token, "type": "phrase", "fields": ["*"], "lenient": True}}
    begin = time.monotonic()
    _LOG.info("A record that c2c-check-es waits for: %s", token)
    while True:
        asked = time.monotonic()
        answer = _search(settings, {"size": 1, "_source": False}, phrase)
        try:
            if answer["hits"]["hits"]:
                return time.monotonic() - begin
        except (KeyError, TypeError):
            raise ElasticsearchError("the answer has no hits.hits") from None
        if asked + settings.log_interval > begin + settings.log_timeout:
            return None
        time.sleep(settings.log_interval)


def _search(settings: CheckSettings, body: Mapping[str, Any], *more: Mapping[str, Any]) -> Any:
    terms = [{"term": {name: value}} for name, value in settings.filters]
    response = _ask(settings, {**body, "query": {"bool": {"filter": [*terms, *more]}}, "track_total_hits": False})
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if response.status_code != requests.codes.ok:
        error = answer.get("error") if isinstance(answer, dict) else None
        reason = error.get("reason") if isinstance(error, dict) else error
        raise ElasticsearchError(f"status {response.status_code} {str(reason or response.reason)[:_LONGEST_REASON]}")
    if not isinstance(answer, dict):
        raise ElasticsearchError("the answer is no JSON object")
    if answer.get("timed_out") or (answer.get("_shards") or {}).get("failed"):
        raise ElasticsearchError("the answer is not complete: shards failed or took too long")
    return answer


def _ask(settings: CheckSettings, body: Mapping[str, Any]) -> requests.Response:
    parts = urlsplit(settings.url or "")
    path = "/".join((parts.path.rstrip("/"), quote(",".join(settings.indexes) or "_all", safe="*,"), "_search"))
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))
    auth = settings.auth
    if auth is None and parts.username:
        auth = f"{unquote(parts.username)}:{unquote(parts.password or '')}"

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if auth:
            basic = base64.b64encode(auth.encode()).decode()
            request.headers["Authorization"] = auth if " " in auth else f"Basic {basic}"
        return request  # and nothing of ~/.netrc, as this is given

    try:
        # A redirection is not followed: it would take the password to another host.
        return requests.post(url, json=body, auth=authorize, timeout=settings.timeout, allow_redirects=False)
    except requests.Timeout:
        raise ElasticsearchError(f"no answer in {settings.timeout:g} s") from None
    except requests.RequestException as error:
        raise ElasticsearchError(one_line(error)) from None
