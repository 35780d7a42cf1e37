"""The check of a URL, by requests."""

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Unpack

import requests

from c2c_broadcast import ConfigurationError
from c2c_health._check import Check, JsonCheckException, Pace
from c2c_health.checks import secrets_of, shown

_HEADER = "X-Request-ID"
# Of a check whose URL is a lambda or a partial; a second such check wants a name=, as any two of one name.
_NAMELESS = "url"

ResponseCallback = Callable[[Any, requests.Response], Any]
"""Called with the request and the response; what it returns is the check's result."""


def url_check(
    url: str | Callable[[Any], str],
    params: Any,
    headers: Any,
    name: str | None,
    check_cb: ResponseCallback,
    timeout: float,
    level: int,
    **pace: Unpack[Pace],
) -> Check:
    """Return the check of a URL; ``url``, ``params`` and ``headers`` may be functions of the request.

    Raises:
        ConfigurationError: It is no URL.
    """
    if isinstance(url, str):
        try:
            address = shown(url)
        except ValueError as error:
            raise ConfigurationError(f"The health check of a URL: {error}") from None
        if not url.lower().startswith(("http://", "https://")):
            raise ConfigurationError(f"The health check of a URL wants http:// or https://, not {address!r}")
    known: list[str] = []

    def run(request: Any) -> Any:
        target = _of(url, request)
        if not isinstance(target, str):
            raise JsonCheckException(f"the function for the URL gave {target!r}")
        given, sent = _of(params, request), dict(_of(headers, request) or {})
        known[:] = secrets_of(target, given, sent)
        # Only the head is waited for: what check_cb does not read is not transferred.
        try:
            asked = requests.get(
                target, params=given, headers=_with_request_id(sent, request), timeout=timeout, stream=True
            )
        except requests.RequestException as error:
            raise JsonCheckException(_why(error, timeout)) from error
        with asked as response:
            if not 200 <= response.status_code < 300:  # noqa: PLR2004 # RFC 9110, 15.3: successful
                raise JsonCheckException(f"answered {response.status_code} {response.reason or ''}".rstrip())
            return check_cb(request, response)

    return Check(name=name or _name(url), run=run, level=level, timeout=timeout, kind="url", secrets=known, **pace)


def _why(error: Exception, timeout: float) -> str:
    """Return what kept a request from its answer: the name, the port, time, the certificate, or what requests says."""
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and one not in seen:
            seen.append(one)
            # urllib3 keeps the cause as ``reason``, requests as its first argument.
            todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args[:1]]
            todo = [other for other in todo if isinstance(other, BaseException)]
    for kind, message in (
        (socket.gaierror, "its name can't be resolved (DNS)"),
        (ConnectionRefusedError, "the connection was refused"),
        (requests.ConnectTimeout, f"no connection within {timeout:g} s (time-out)"),
        (requests.ReadTimeout, f"no answer within {timeout:g} s (time-out)"),
        (ssl.SSLError, "the TLS handshake failed"),
        (ConnectionError, "the connection was closed"),
    ):
        found = next((one for one in seen if isinstance(one, kind)), None)
        if found is not None:
            return f"{message}: {found}" if isinstance(found, ssl.SSLError) else message
    return f"{type(error).__name__}: {error}"


def _of(value: Any, request: Any) -> Any:
    return value(request) if callable(value) else value


def _name(url: str | Callable[[Any], str]) -> str:
    if isinstance(url, str):
        return shown(url)
    name = str(getattr(url, "__name__", _NAMELESS))
    return _NAMELESS if "<" in name else name


def _with_request_id(headers: Mapping[str, Any], request: Any) -> dict[str, Any]:
    """Add the id by which the request is known in logs (c2c-logging's), or came with."""
    there = {key.lower() for key in headers}
    found = getattr(request, "c2c_request_id", None) or getattr(request, "headers", {}).get(_HEADER)
    return {**headers} if _HEADER.lower() in there or not found else {**headers, _HEADER: str(found)}
