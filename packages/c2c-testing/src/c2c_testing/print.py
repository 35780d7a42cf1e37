"""Ask a MapFish Print 3 server over HTTP.

Its URLs are those of the servlet ``org.mapfish.print.servlet.MapPrinterServlet``:
https://mapfish.github.io/mapfish-print-doc/
"""

import json
import time
from collections.abc import Mapping
from typing import Any

import requests

from c2c_testing.connection import CacheExpected, Connection
from c2c_testing.utils import retry_timeout

__all__ = ["PrintConnection"]

_POLL = 0.2
_APP = "default"
_CACHED = {"cache_expected": CacheExpected.YES}


class PrintConnection(Connection):
    """A client of a MapFish Print server; whatever goes wrong is an AssertionError with the server's words.

    It has the methods of ``Connection`` as well. All take, by keyword, what those take, but check CORS headers only
    with ``cors=True``: they are the business of what is in front of it.
    """

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send a request of any method, and return the response, once it is checked."""
        return super().request(method, url, **{"cors": False, **options})

    def wait_ready(self, timeout: float = 60, app: str = _APP) -> None:
        """Wait until the server has the capabilities of the app, which it may still be loading; else TimeoutError."""
        retry_timeout(lambda: self.get_capabilities(app, timeout=min(max(timeout, 0.1), 30)), timeout)

    def get_apps(self, **options: Any) -> list[str]:
        """Return the names of the apps."""
        return list(self.get_json("apps.json", **{**_CACHED, **options}))

    def get_capabilities(self, app: str = _APP, **options: Any) -> dict[str, Any]:
        """Return what the app can do: layouts, formats."""
        return dict(self.get_json(f"{app}/capabilities.json", **{**_CACHED, **options}))

    def get_example_requests(self, app: str = _APP, **options: Any) -> dict[str, Any]:
        """Return the requests that come with the app as examples, by name, to be given to ``get_pdf``."""
        # The servlet gives no content type where there is no example, and every example as a text.
        response = self.get_raw(f"{app}/exampleRequest.json", **{**_CACHED, **options})
        try:
            return {name: json.loads(text) for name, text in response.json().items()}
        except ValueError as error:
            raise AssertionError(f"Not JSON: {error}\n{response.url}\n{response.text[:5000]}") from error

    def get_pdf(
        self, app: str, request: Mapping[str, Any], timeout: float = 60, file_format: str = "pdf", **options: Any
    ) -> requests.Response:
        """Print, wait until it is done, and return the response with the report (``content``).

        ``request`` is as ``get_example_requests`` has them, ``file_format`` one of the capabilities' formats;
        ``timeout`` are seconds for the printing, ``options`` for each of the HTTP requests.

        Raises:
            AssertionError: the print server refuses or fails, or what it gives is not of that format
            TimeoutError: it is not done in time; the job is cancelled
        """
        reference = self.post_json(f"{app}/report.{file_format}", json=request, **options)["ref"]
        deadline = time.monotonic() + timeout
        while not (status := self.get_json(f"status/{reference}.json", **options))["done"]:
            if time.monotonic() + _POLL > deadline:
                self.delete(f"cancel/{reference}", **{**options, "expected_status": (200, 204)})
                raise TimeoutError(f"The print job {reference} is still {status['status']} after {timeout} s")
            time.sleep(_POLL)
        if status.get("error") or status["status"] != "finished":
            raise AssertionError(f"The print job {reference} is {status['status']}: {status.get('error')}")
        report = self.get_raw(f"report/{reference}", **options)
        kind = report.headers.get("Content-Type", "no Content-Type")
        if file_format not in kind or not report.content:
            raise AssertionError(f"The print job {reference} gave {len(report.content)} bytes of {kind}")
        return report
