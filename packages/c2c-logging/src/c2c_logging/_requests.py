"""The patch of ``requests``: one method, ``Session.send``, through which all calls go, redirects too."""

import functools
from typing import Any

import requests

from c2c_logging._outgoing import OUTGOING


class Patch:
    """Whether, and how, ``Session.send`` is ours."""

    def __init__(self) -> None:
        self._active = False
        self._ours: Any = None

    def install(self) -> None:
        """Patch, unless our wrapper is there already, below another tool's maybe."""
        self._active = True
        if self._ours is None or not _holds(requests.Session.send, self._ours):
            self._ours = self._wrap(requests.Session.send)
            setattr(requests.Session, "send", self._ours)  # noqa: B010 # mypy does not assign methods

    def remove(self) -> None:
        """Put back what was there; below another tool's wrapper, ours stays and does nothing."""
        self._active = False
        found: Any = requests.Session.send
        if self._ours is not None and found is self._ours:
            setattr(requests.Session, "send", found.__wrapped__)  # noqa: B010 # as above
            self._ours = None

    def _wrap(self, original: Any) -> Any:
        @functools.wraps(original)
        def send(session: requests.Session, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
            if self._active:
                OUTGOING.add_headers(request.headers)
                if kwargs.get("timeout") is None:
                    kwargs["timeout"] = OUTGOING.timeout(request.method, request.url)
            response: requests.Response = original(session, request, **kwargs)
            return response

        return send


def _holds(function: Any, wanted: Any) -> bool:
    while function is not None:
        if function is wanted:
            return True
        function = getattr(function, "__wrapped__", None)
    return False


PATCH = Patch()
"""The one of this process."""
