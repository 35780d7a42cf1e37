"""Ask a service over HTTP and check what every answer must have."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests

from c2c_testing._expected import (
    JSON,
    NO_CONTENT,
    XML,
    CacheExpected,
    check,
    check_response,
    has_type,
    json_of,
    story,
    text_of,
)

__all__ = ["CacheExpected", "Connection", "check_response"]

_TIMEOUT = 60.0


class Connection:
    """A client of one service. What is not as expected is an AssertionError with status, body and a curl command.

    All methods take a URL below ``base_url`` and, by keyword: ``expected_status``, a number or several of them;
    ``headers``, which win over ours; ``cors``, whether to send ``Origin`` and check
    ``Access-Control-Allow-Origin``; ``cache_expected``; and what ``requests`` takes. They wait 60 s at most, unless
    ``timeout`` says otherwise. An answer without content (204) is None.

    Args:
        base_url: root of the service, such as ``http://127.0.0.1:8080/api/``
        origin: the value of ``Origin``, such as ``https://www.example.com``
    """

    def __init__(self, base_url: str, origin: str) -> None:
        self.base_url = base_url.rstrip("/") + "/"
        self.origin = origin
        self.session = requests.Session()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the session's connections."""
        self.session.close()

    def url(self, path: str) -> str:
        """Return the URL of a path below ``base_url``; a whole URL stays as it is."""
        return path if urlsplit(path).scheme else self.base_url + path.lstrip("/")

    def request(
        self,
        method: str,
        url: str,
        *,
        expected_status: int | Collection[int] = 200,
        headers: Mapping[str, str | None] | None = None,
        cors: bool = True,
        cache_expected: CacheExpected = CacheExpected.NO,
        **options: Any,
    ) -> requests.Response:
        """Send a request of any method, and return the response, once it is checked.

        Raises:
            AssertionError: it is not as expected
        """
        sent = requests.structures.CaseInsensitiveDict[str | None]({"Origin": self.origin} if cors else {})
        sent.update(headers or {})
        options.setdefault("timeout", _TIMEOUT)
        response = self.session.request(method, self.url(url), headers=sent, **options)
        check_response(response, expected_status, cache_expected)
        if cors:
            _check_cors(response, sent["Origin"])
        return response

    def get(self, url: str, **options: Any) -> str | None:
        """GET, and return the text."""
        return text_of(self.request("GET", url, **options))

    def get_raw(self, url: str, **options: Any) -> requests.Response:
        """GET, and return the response, for what the other methods do not give."""
        return self.request("GET", url, **options)

    def get_json(self, url: str, **options: Any) -> Any:
        """GET, check the content type, and return what the JSON says."""
        return json_of(self.request("GET", url, **options))

    def get_xml(self, url: str, schema: str | Path | None = None, **options: Any) -> Any:
        """GET, check the content type, validate with an XML Schema if there is one, and return an lxml ElementTree.

        Needs the extra ``c2c-testing[xml]``.
        """
        from c2c_testing import _xml

        response = self.request("GET", url, **options)
        if response.status_code == NO_CONTENT:
            return None
        check(has_type(response, XML), "Content-Type is not that of XML", response)
        try:
            return _xml.parse(response.content, schema)
        except ValueError as error:
            raise AssertionError(story(str(error), response)) from error

    def post(self, url: str, **options: Any) -> str | None:
        """POST (``data``), and return the text."""
        return text_of(self.request("POST", url, **options))

    def post_json(self, url: str, **options: Any) -> Any:
        """POST (``json`` or ``data``), check the content type, and return what the JSON says."""
        return json_of(self.request("POST", url, **options))

    def post_files(self, url: str, **options: Any) -> Any:
        """POST a form with files (``files``, ``data``), and return what the JSON says, or else the text."""
        response = self.request("POST", url, **options)
        return json_of(response) if has_type(response, JSON) else text_of(response)

    def put(self, url: str, **options: Any) -> str | None:
        """PUT (``data``), and return the text."""
        return text_of(self.request("PUT", url, **options))

    def put_json(self, url: str, **options: Any) -> Any:
        """PUT (``json`` or ``data``), check the content type, and return what the JSON says."""
        return json_of(self.request("PUT", url, **options))

    def patch_json(self, url: str, **options: Any) -> Any:
        """PATCH (``json`` or ``data``), check the content type, and return what the JSON says."""
        return json_of(self.request("PATCH", url, **options))

    def delete(self, url: str, expected_status: int | Collection[int] = NO_CONTENT, **options: Any) -> str | None:
        """DELETE, and return the text."""
        return text_of(self.request("DELETE", url, expected_status=expected_status, **options))

    def options(self, url: str, **options: Any) -> requests.Response:
        """Ask for the OPTIONS, and return the response: its headers are what matters."""
        return self.request("OPTIONS", url, **options)


def _check_cors(response: requests.Response, origin: str | None) -> None:
    """Check the answer to a page of ``origin``, which the call may have given; to no page where that is None."""
    if origin is None:
        return
    credentials = response.headers.get("Access-Control-Allow-Credentials", "").lower() == "true"
    wanted = origin if credentials else "*"
    allowed = response.headers.get("Access-Control-Allow-Origin")
    check(allowed == wanted, f"Access-Control-Allow-Origin is {allowed!r}, not {wanted!r}", response)
