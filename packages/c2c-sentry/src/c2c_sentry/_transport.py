"""How events leave: the SDK's own transport, which says once that Sentry is away."""

import logging
from typing import Any

from sentry_sdk.transport import HttpTransport

_LOG = logging.getLogger(__name__)


class SayingTransport(HttpTransport):
    """Send events from a thread; log a change between reachable and not, and nothing else."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._away = False

    def on_dropped_event(self, reason: str) -> None:
        """Say, once, that events are lost; the service goes on."""
        if not self._away:
            self._away = True
            _LOG.warning("Sentry does not take events (%s): errors are not reported for now", reason)

    def _handle_response(self, response: Any, envelope: Any) -> None:
        super()._handle_response(response=response, envelope=envelope)
        if self._away and response.status < 300:  # noqa: PLR2004 # success (RFC 9110, 15.3)
            self._away = False
            _LOG.warning("Sentry takes events again")
