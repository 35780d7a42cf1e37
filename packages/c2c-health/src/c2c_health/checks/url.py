"""The check of a URL, by requests."""

import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from c2c_broadcast import ConfigurationError
from c2c_health._check import Check, JsonCheckException
from c2c_health.checks import Kind, secrets_of, shown

if TYPE_CHECKING:
    import requests

_HEADER = "X-Request-ID"
# Of the check's deadline: what it waits for (a connection, an answer) is said before that is over.
_PART = 0.9


class Urls(Kind):
    """Adds checks of URLs."""

    def add_url_check(
        self,
        url: str | Callable[[Any], str],
        params: Any = None,
        headers: Any = None,
        name: str | None = None,
        check_cb: "Callable[[Any, requests.Response], Any]" = lambda _request, _response: None,
        timeout: float = 3,
        level: int = 1,
        **options: Any,
    ) -> None:
        """Check that a GET of ``url`` is answered with 2xx; what ``check_cb(request, response)`` returns is the result.

        ``url``, ``params`` and ``headers`` may be functions of the request, whose id (``X-Request-ID``) is sent along.
        It is named by the URL without user, password and query, by the function's name, or ``url`` where that has none.
        Redirects are followed. Of ``Options`` the others may be given too.

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
            # Of a check whose URL is a lambda or a partial; a second such check wants a name=, as any two of one name.
            address = str(getattr(url, "__name__", "url")).replace("<lambda>", "url")
        known: list[str] = []

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
            with _get(target, timeout * _PART, params=given, headers=sent) as response:
                if not 200 <= response.status_code < 300:  # noqa: PLR2004 # RFC 9110, 15.3: successful
                    raise JsonCheckException(f"answered {response.status_code} {response.reason or ''}".rstrip())
                return check_cb(request, response)

        self.add(
            Check(name=name or address, run=run, level=level, timeout=timeout, kind="url", secrets=known, **options)
        )


def _get(url: str, timeout: float, **options: Any) -> "requests.Response":
    import requests

    try:
        # Only the head is waited for: what check_cb does not read is not transferred.
        return requests.get(url, timeout=timeout, stream=True, **options)
    except requests.RequestException as error:
        raise JsonCheckException(why(error, timeout)) from error


def why(error: Exception, timeout: float) -> str:
    """Return what kept a request from its answer: the name, the port, time, the certificate, or what requests says."""
    import requests

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
