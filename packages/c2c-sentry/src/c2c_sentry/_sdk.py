"""The one module that imports the Sentry SDK; it is imported when a DSN is configured."""

import contextlib
import importlib
import importlib.util
import inspect
import logging
from collections.abc import Iterator
from typing import Any

import sentry_sdk
from sentry_sdk.consts import ClientConstructor
from sentry_sdk.integrations import DidNotEnable, Integration
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.logging import LoggingIntegration, ignore_logger
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_sdk.utils import BadDsn

from c2c_sentry._events import Events, begin
from c2c_sentry._options import parse_options
from c2c_sentry._settings import SentrySettings
from c2c_sentry._transport import SayingTransport

_LOG = logging.getLogger(__name__)
_OF_LIBRARIES = {name: f"{name.capitalize()}Integration" for name in ("pyramid", "sqlalchemy", "redis", "asyncio")}


def start(settings: SentrySettings, events: Events) -> bool:
    """Start the SDK; False, and said once, where the DSN is none.

    Raises:
        ConfigurationError: A ``SENTRY_CLIENT_...`` value is not of its option's type.
    """
    options = _options(settings, events)
    for name in (*settings.excludes, "c2c_sentry"):
        ignore_logger(name)
        ignore_logger(f"{name}.*")
    try:
        sentry_sdk.init(**options)
    except (BadDsn, ValueError, TypeError) as error:
        # Neither the DSN nor the error's text, which may quote it, is for a log.
        _LOG.error(  # one line
            "Errors are not reported: SENTRY_URL (ini key c2c.sentry.url) is no DSN (%s), such as"
            " https://<key>@sentry.example.com/1",
            type(error).__name__,
        )
        sentry_sdk.init(dsn="", default_integrations=False, auto_enabling_integrations=False)
        return False
    scope = sentry_sdk.get_global_scope()
    for name, value in settings.tags.items():
        scope.set_tag(name, value)
    return True


def capture(error: BaseException) -> None:
    """Report an exception, with the reporter's guarantee not to raise."""
    with contextlib.suppress(Exception):
        sentry_sdk.capture_exception(error)


def wrap(application: Any) -> Any:
    """Return a WSGI application that reports what an application raises."""
    reporting = SentryWsgiMiddleware(application)

    def wrapped(environ: Any, start_response: Any) -> Any:
        begin()
        return reporting(environ, start_response)

    return wrapped


def _options(settings: SentrySettings, events: Events) -> dict[str, Any]:
    client = dict(settings.client)
    ignored = [part.strip() for part in client.pop("ignore_exceptions", "SystemExit").split(",") if part.strip()]
    release = client.pop("release", None)
    given, warnings = parse_options(client, ClientConstructor.__init__)
    for warning in warnings:
        _LOG.warning("%s", warning)
    off = [] if settings.integration_logging else [LoggingIntegration]
    return {
        "traces_sample_rate": settings.traces_sample_rate or None,
        "auto_enabling_integrations": False,
        "transport": SayingTransport,
        **given,
        "dsn": settings.url,
        "release": release if release and release != "latest" else settings.git_hash or None,
        "integrations": list(_integrations(settings)),
        # It drops what is the same object as the last one, in a later request, too.
        "disabled_integrations": [DedupeIntegration, *off, *given.get("disabled_integrations", [])],
        "ignore_errors": [*ignored, *given.get("ignore_errors", [])],
        "before_send": events.before_send,
        **dict.fromkeys(_hooks(given), events.masked),
    }


def _hooks(given: dict[str, Any]) -> Iterator[str]:
    """Yield the hooks through which all passes that is no event."""
    yield from ("before_send_transaction", "before_send_log")
    # Newer than the oldest SDK that we work with.
    if "before_send_metric" in inspect.signature(ClientConstructor.__init__).parameters:
        yield "before_send_metric"
    if given.get("trace_lifecycle") == "stream":
        yield "before_send_span"


def _integrations(settings: SentrySettings) -> list[Integration]:
    # Three lines on stderr without it.
    found: list[Integration] = [AtexitIntegration(callback=lambda _pending, _timeout: None)]
    if settings.integration_logging:
        found.append(LoggingIntegration(level=logging.INFO, event_level=settings.level))
    for library, name in _OF_LIBRARIES.items():
        if getattr(settings, f"integration_{library}") and importlib.util.find_spec(library) is not None:
            with contextlib.suppress(DidNotEnable):
                found.append(getattr(importlib.import_module(f"sentry_sdk.integrations.{library}"), name)())
    return found
