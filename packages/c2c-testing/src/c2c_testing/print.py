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

_POLL = 0.2
_APP = "default"


class PrintConnection(Connection):
    """A client of a MapFish Print server; whatever goes wrong is an AssertionError with the server's words.

    It has the methods of ``Connection`` as well. Its own take, by keyword, what those take; they check what the print
    server says about caching, but its CORS headers only with ``cors=True``, because these are the business of what is
    in front of it.

    Args:
        base_url: root of the print server, such as ``http://127.0.0.1:8080/print/``
        origin: the value of ``Origin``, where it is sent
    """

    def wait_ready(self, timeout: float = 60, app: str = _APP) -> None:
        """Wait until the server has the capabilities of the app, which it may still be loading.

        Raises:
            TimeoutError: it has not in ``timeout`` seconds; the message has the last failure
        """

        def print_server() -> bool:
            self.get_capabilities(app, timeout=min(max(timeout, 0.1), 30))
            return True

        retry_timeout(print_server, timeout)

    def get_apps(self, **options: Any) -> list[str]:
        """Return the names of the apps."""
        apps: list[str] = self.get_json("apps.json", **_defaults(options, CacheExpected.YES))
        return apps

    def get_capabilities(self, app: str = _APP, **options: Any) -> dict[str, Any]:
        """Return what the app can do: layouts, formats."""
        defaults = _defaults(options, CacheExpected.YES)
        capabilities: dict[str, Any] = self.get_json(f"{app}/capabilities.json", **defaults)
        return capabilities

    def get_example_requests(self, app: str = _APP, **options: Any) -> dict[str, Any]:
        """Return the requests that come with the app as examples, by name, to be given to ``get_pdf``."""
        # The servlet gives no content type where there is no example, and every example as a text.
        response = self.get_raw(f"{app}/exampleRequest.json", **_defaults(options, CacheExpected.YES))
        try:
            return {name: json.loads(text) for name, text in response.json().items()}
        except ValueError as error:
            raise AssertionError(f"Not JSON: {error}\n{response.url}\n{response.text[:5000]}") from error

    def get_pdf(
        self, app: str, request: Mapping[str, Any], timeout: float = 60, file_format: str = "pdf", **options: Any
    ) -> requests.Response:
        """Print, wait until it is done, and return the response with the report (``content``).

        Args:
            app: the name of the app
            request: what to print: one of ``get_example_requests``, for example
            timeout: seconds for the printing
            file_format: one of the capabilities' formats
            options: as for the methods of Connection, for each of the requests

        Raises:
            AssertionError: the print server refuses or fails, or what it gives is not of that format
            TimeoutError: it is not done in time; the job is cancelled
        """
        given = _defaults(options, CacheExpected.NO)
        job = self.post_json(f"{app}/report.{file_format}", json=request, **given)
        reference = job["ref"]
        deadline = time.monotonic() + timeout
        while not (status := self.get_json(f"status/{reference}.json", **given))["done"]:
            if time.monotonic() + _POLL > deadline:
                self.delete(f"cancel/{reference}", **{**given, "expected_status": (200, 204)})
                raise TimeoutError(f"The print job {reference} is still {status['status']} after {timeout} s")
            time.sleep(_POLL)
        if status.get("error") or status["status"] != "finished":
            raise AssertionError(f"The print job {reference} is {status['status']}: {status.get('error')}")
        report = self.get_raw(f"report/{reference}", **given)
        kind = report.headers.get("Content-Type", "no Content-Type")
        if file_format not in kind or not report.content:
            raise AssertionError(f"The print job {reference} gave {len(report.content)} bytes of {kind}")
        return report


def _defaults(options: Mapping[str, Any], cache: CacheExpected) -> dict[str, Any]:
    return {"cors": False, "cache_expected": cache, **options}
