"""``GET /metrics``: the text that Prometheus scrapes."""

import gzip
from typing import Any

from prometheus_client.exposition import choose_encoder, gzip_accepted
from pyramid.response import Response

from c2c_stats._scrape import Scrape
from c2c_stats.prometheus import providers


def view(request: Any) -> Response:
    """Answer in the Prometheus or OpenMetrics text format, as ``Accept`` says; compressed where that is accepted."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    body = encode(Scrape(providers(), encode))
    response = Response(headerlist=[("Content-Type", content_type), ("Vary", "Accept, Accept-Encoding")])
    if gzip_accepted(request.headers.get("Accept-Encoding", "")):
        body = gzip.compress(body, 1)
        response.headerlist.append(("Content-Encoding", "gzip"))
    response.body = body
    return response
