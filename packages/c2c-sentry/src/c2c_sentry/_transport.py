"""How events leave: the SDK's own transport, which says once that Sentry is away."""

import logging
import os
import sys
from typing import Any

from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport

_LOG = logging.getLogger(__name__)


class SayingTransport(HttpTransport):
    """Send events from a thread; log a change between reachable and not, and nothing else."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._away = False
        self._ends_in = 0

    def _get_pool_options(self) -> dict[str, Any]:
        # urllib3 would try three times more, and warn each time; what is lost is said here, once.
        return {**super()._get_pool_options(), "retries": False}

    def capture_envelope(self, envelope: Envelope) -> None:
        """Hand an envelope over to the thread that sends."""
        self._flush_at_end()
        super().capture_envelope(envelope)

    def _flush_at_end(self) -> None:
        """Have a process of ``multiprocessing``, which ends without atexit, send what it reported."""
        util = sys.modules.get("multiprocessing.util")
        if util is not None and self._ends_in != os.getpid():
            self._ends_in = os.getpid()
            util.Finalize(None, self.flush, args=(self.options["shutdown_timeout"],), exitpriority=0)

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
