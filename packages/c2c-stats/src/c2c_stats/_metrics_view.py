"""``GET /metrics``: the text that Prometheus scrapes."""

import gzip
from collections.abc import Iterator
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from pyramid.response import Response

from c2c_stats._exposition import families
from c2c_stats._sink import SINK


class _Scrape:
    """What prometheus_client asks of a registry: ``collect``."""

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        backend = SINK.exporter("prometheus")
        if backend is not None:
            yield from families(backend.records(), SINK.settings.prometheus_prefix)


def view(request: Any) -> Response:
    """Answer in the Prometheus or OpenMetrics text format, as ``Accept`` says; compressed where that is accepted."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    body = encode(_Scrape())
    response = Response(body=body)
    response.headers["Content-Type"] = content_type
    response.vary = ("Accept", "Accept-Encoding")
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response.body = gzip.compress(body, 1)
        response.headers["Content-Encoding"] = "gzip"
    return response
