"""What c2c-check-es asks Elasticsearch (or OpenSearch): the time of the newest record, and whether there is one.

https://www.elastic.co/docs/reference/elasticsearch/rest-apis/search-request
"""

import base64
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

_LONGEST_ANSWER = 1 << 20
_LONGEST_REASON = 200
_CHUNK = 1 << 14


class ElasticsearchError(Exception):
    """Elasticsearch can't be asked, or what it answers is of no use."""


@dataclass(frozen=True, slots=True)
class Elasticsearch:
    """A server, and where in it to look.

    Args:
        url: ``https://user:password@es.example.com:9200``
        indexes: names or patterns, as in ``logstash-*``; none are all
        auth: ``user:password``, or a whole ``Authorization`` header such as ``ApiKey ...``
        filters: names and values of fields: only such records count
        timestamp: the field with a record's time
        timeout: seconds for one question
    """

    url: str = field(repr=False)
    indexes: Sequence[str] = ()
    auth: str | None = field(default=None, repr=False)
    filters: Sequence[tuple[str, str]] = ()
    timestamp: str = "@timestamp"
    timeout: float = 10.0

    def newest(self) -> float | None:
        """Return the time of the newest record, seconds since the epoch, None where there is none.

        Raises:
            ElasticsearchError: no answer, or one that can't be understood
        """
        answer = self._search({"size": 0, "aggs": {"newest": {"max": {"field": self.timestamp}}}}, ())
        try:
            value = answer["aggregations"]["newest"]["value"]  # milliseconds
            return None if value is None else float(value) / 1000
        except (KeyError, TypeError, ValueError):
            raise ElasticsearchError("the answer has no aggregations.newest.value") from None

    def has(self, text: str) -> bool:
        """Tell whether a record has this text, in any field.

        Raises:
            ElasticsearchError: no answer, or one that can't be understood
        """
        phrase = {"multi_match": {"query": text, "type": "phrase", "fields": ["*"], "lenient": True}}
        answer = self._search({"size": 1, "_source": False}, [phrase])
        try:
            return bool(answer["hits"]["hits"])
        except (KeyError, TypeError):
            raise ElasticsearchError("the answer has no hits.hits") from None

    def _search(self, body: Mapping[str, Any], more: Sequence[Mapping[str, Any]]) -> Any:
        terms = [{"term": {name: value}} for name, value in self.filters]
        query = {"bool": {"filter": [*terms, *more]}}
        answer = self._ask(json.dumps({**body, "query": query, "track_total_hits": False}).encode())
        if not isinstance(answer, dict):
            raise ElasticsearchError("the answer is no JSON object")
        if answer.get("timed_out") or (answer.get("_shards") or {}).get("failed"):
            raise ElasticsearchError("the answer is not complete: shards failed or took too long")
        return answer

    def _ask(self, body: bytes) -> Any:
        request = urllib.request.Request(self._address(), body, self._headers())  # noqa: S310 - checked in _address
        deadline = time.monotonic() + self.timeout
        # A redirection is not followed: it would take the password to another host.
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=self.timeout) as response:
                content = _read(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                reason = _reason(error.read(_LONGEST_ANSWER))
            raise ElasticsearchError(f"status {error.code} {reason or error.reason}") from None
        except TimeoutError:
            raise ElasticsearchError(f"no answer in {self.timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            # urllib wraps what happened while connecting
            why = getattr(error, "reason", error)
            late = isinstance(why, TimeoutError)
            raise ElasticsearchError(f"no answer in {self.timeout:g} s" if late else f"{why}") from None
        try:
            return json.loads(content)
        except ValueError:
            raise ElasticsearchError("the answer is no JSON") from None

    def _address(self) -> str:
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        path = "/".join((parts.path.rstrip("/"), quote(",".join(self.indexes) or "_all", safe="*,"), "_search"))
        return urlunsplit((parts.scheme, host, path, "", ""))

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        parts = urlsplit(self.url)
        auth = self.auth
        if auth is None and parts.username:
            auth = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        if auth:
            basic = base64.b64encode(auth.encode()).decode()
            headers["Authorization"] = auth if " " in auth else f"Basic {basic}"
        return headers


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


def _read(response: Any, deadline: float) -> bytes:
    content = bytearray()
    while chunk := response.read1(_CHUNK):
        content += chunk
        if time.monotonic() > deadline:
            raise TimeoutError
        if len(content) > _LONGEST_ANSWER:
            raise ElasticsearchError(f"the answer is longer than {_LONGEST_ANSWER} bytes")
    return bytes(content)


def _reason(content: bytes) -> str:
    """Return what Elasticsearch says of an error: ``{"error": {"reason": ...}}``, or ``{"error": "..."}``."""
    try:
        error = json.loads(content)["error"]
        reason = error["reason"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        return ""
    return str(reason)[:_LONGEST_REASON]
