"""The URL of a request as the log shows it: from the bytes that came, whatever they are."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

# What RFC 3986 allows in a path, and the percent sign of what is encoded already in a query.
_PATH = "/~:@!$&'()*+,;="
_QUERY = _PATH + "?%"


def shown_url(environ: Mapping[str, Any]) -> str:
    """Return the URL of a WSGI environment, percent-encoded. Never raises, unlike WebOb's on what is not UTF-8."""
    scheme = environ.get("wsgi.url_scheme", "http")
    host = environ.get("HTTP_HOST") or f"{environ.get('SERVER_NAME', '')}:{environ.get('SERVER_PORT', '')}"
    query = _quoted(environ.get("QUERY_STRING", ""), _QUERY)
    return f"{scheme}://{_quoted(host, ':[]')}{shown_path(environ)}" + (f"?{query}" if query else "")


def shown_path(environ: Mapping[str, Any]) -> str:
    """Return the path of a WSGI environment, percent-encoded. Never raises."""
    return _quoted(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), _PATH)


def _quoted(text: str, safe: str) -> str:
    # WSGI hands bytes over as latin-1 (PEP 3333).
    return quote(text.encode("latin-1", "replace"), safe=safe)
