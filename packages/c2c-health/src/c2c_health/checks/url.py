"""The check of a URL, by requests."""

import socket
import ssl
from collections.abc import Callable
from typing import Any, Unpack

import requests

from c2c_broadcast import ConfigurationError
from c2c_health._check import Check, JsonCheckException, Pace
from c2c_health.checks import secrets_of, shown

_HEADER = "X-Request-ID"
# Of a check whose URL is a lambda or a partial; a second such check wants a name=, as any two of one name.
_NAMELESS = "url"
# Of the check's deadline: what it waits for (a connection, an answer) is said before that is over.
_PART = 0.9

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
    else:
        address = str(getattr(url, "__name__", _NAMELESS))
        address = _NAMELESS if "<" in address else address
    known: list[str] = []
    patience = timeout * _PART

    def run(request: Any) -> Any:
        asked: list[Any] = [value(request) if callable(value) else value for value in (url, params, headers)]
        target, given, own = asked
        if not isinstance(target, str):
            raise JsonCheckException(f"the function for the URL gave {target!r}")
        sent = dict(own or {})
        known[:] = secrets_of(target, given, sent)
        # The id by which the request is known in logs (c2c-logging's), or came with.
        request_id = getattr(request, "c2c_request_id", None) or getattr(request, "headers", {}).get(_HEADER)
        if request_id and _HEADER.lower() not in {key.lower() for key in sent}:
            sent[_HEADER] = str(request_id)
        try:
            # Only the head is waited for: what check_cb does not read is not transferred.
            found = requests.get(target, params=given, headers=sent, timeout=patience, stream=True)
        except requests.RequestException as error:
            raise JsonCheckException(why(error, patience)) from error
        with found as response:
            if not 200 <= response.status_code < 300:  # noqa: PLR2004 # RFC 9110, 15.3: successful
                raise JsonCheckException(f"answered {response.status_code} {response.reason or ''}".rstrip())
            return check_cb(request, response)

    return Check(name=name or address, run=run, level=level, timeout=timeout, kind="url", secrets=known, **pace)


def why(error: Exception, timeout: float) -> str:
    """Return what kept a request from its answer: the name, the port, time, the certificate, or what requests says."""
    cause: BaseException | None = error
    while cause is not None:
        for kind, message in (
            (socket.gaierror, "its name can't be resolved (DNS)"),
            (ConnectionRefusedError, "the connection was refused"),
            (requests.ConnectTimeout, f"no connection within {timeout:g} s (time-out)"),
            (requests.ReadTimeout, f"no answer within {timeout:g} s (time-out)"),
            (ssl.SSLError, f"the TLS handshake failed: {cause}"),
            (ConnectionError, "the connection was closed"),
        ):
            if isinstance(cause, kind):
                return message
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {error}"
