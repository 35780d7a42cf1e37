"""What happens to an event before it is sent: once an occurrence, without secrets, with the id of its request."""

import os
import re
import sys
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from c2c_broadcast import Masker

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_LONGEST_ID = 128


_Found = Callable[[], BaseException | None]
_REPORTED: ContextVar[list[_Found]] = ContextVar("c2c_sentry_reported")
_MOST = 20


class Events:
    """The hooks of one SDK client; they run in the thread that reports."""

    def __init__(self) -> None:
        self._sources: list[Mapping[str, Any]] = []
        self._masker: Masker | None = None

    def learn(self, settings: Mapping[str, Any]) -> None:
        """Hide the secrets of these settings too."""
        known = dict(settings)
        if known not in self._sources:
            self._sources = [*self._sources, known]
            self._masker = None

    def before_send(self, event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any] | None:
        """Return the event as it may leave; None for an exception that the request has reported."""
        info = hint.get("exc_info")
        if info and info[1] is not None and not first_report(info[1]):
            return None
        request_id = _request_id() or _id_in_headers(event)
        if request_id:
            tags = event.get("tags")
            event["tags"] = {**(tags if isinstance(tags, dict) else {}), "request_id": request_id}
        masked = self.masked(event, hint)
        self._mask_arguments(masked, hint)
        return masked

    def masked(self, event: dict[str, Any], _hint: dict[str, Any]) -> dict[str, Any]:
        """Return a copy of an event, transaction or log without secrets."""
        masked: dict[str, Any] = self._mask.data(event)
        return masked

    def _mask_arguments(self, event: dict[str, Any], hint: dict[str, Any]) -> None:
        """Drop a log record's arguments where its text has a secret: an argument alone does not look like one."""
        entry, record = event.get("logentry"), hint.get("log_record")
        if not isinstance(entry, dict) or not entry.get("params") or record is None:
            return
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 # a message that can't be formatted, of objects that raise
            text = ""
        masked = self._mask(text)
        if masked != text:
            entry["params"] = []
            entry["formatted"] = masked

    @property
    def _mask(self) -> Masker:
        masker = self._masker
        if masker is None:
            masker = self._masker = Masker.of(*self._sources, os.environ)
        return masker


def begin() -> None:
    """Begin a request: an exception object that was raised before, a constant, is another event when it is raised now.

    The exception carries no mark: what was reported is known to the request, or to the thread outside of one. It is
    kept to the next request, because servers log, too, what a request raised.
    """
    _REPORTED.set([])


def first_report(error: BaseException) -> bool:
    """Tell whether an exception is reported for the first time in this request, and remember that it is."""
    reported = _REPORTED.get(None)
    if reported is None:
        reported = []
        _REPORTED.set(reported)
    if any(found() is error for found in reported):
        return False
    del reported[:-_MOST]
    try:
        reported.append(weakref.ref(error))
    except TypeError:  # of a built-in class; held to the next request
        reported.append(lambda: error)
    return True


def _request_id() -> str | None:
    """Return the id of Pyramid's request that this thread handles: c2c-logging's, else what a header says."""
    # Where nobody has imported Pyramid there is no request of it.
    threadlocal = sys.modules.get("pyramid.threadlocal")
    request = threadlocal.get_current_request() if threadlocal is not None else None
    if request is None:
        return None
    try:
        found = getattr(request, "c2c_request_id", None) or request.environ.get("HTTP_X_REQUEST_ID", "")
    except Exception:  # noqa: BLE001 # an attribute of the request is the application's code; the report goes on
        return None
    return _cleaned(found)


def _id_in_headers(event: dict[str, Any]) -> str | None:
    """Return the id that the client of a WSGI application sent, which the WSGI filter put into the event."""
    headers = (event.get("request") or {}).get("headers") or {}
    return next((_cleaned(value) for name, value in headers.items() if name.lower() == "x-request-id"), None)


def _cleaned(found: Any) -> str | None:
    return _UNPRINTABLE.sub("", str(found))[:_LONGEST_ID] or None
