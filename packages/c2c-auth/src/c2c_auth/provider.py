"""What providers of identities have in common: sessions, errors, and questions that are bounded in time and size."""

import concurrent.futures
import contextlib
import json
import logging
import time
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from c2c_broadcast.process import BusyError, Pool

_LOG = logging.getLogger(__name__)

Level = Literal["known", "read", "operate"]
TIMEOUT = 5.0
_LONGEST_BODY = 1024 * 1024
_TOO_MANY = 429
_SERVER_ERROR = 500


class LoginError(Exception):
    """A log-in does not succeed: the provider says no. The messages of these errors hold no secret."""


class NotBegunError(LoginError):
    """This browser has not begun the log-in that comes back, or too long ago."""


class AwayError(LoginError):
    """The provider did not answer, in time, with sense, or not for us now."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who logged in with which provider. Seconds since the epoch: of the last renewal, and of the end.

    ``token`` is GitHub's, to ask for the rights with; ``values`` are those of OpenID Connect's claim.
    """

    provider: str
    login: str
    name: str
    url: str
    renewed: float
    ends: float
    token: str = field(default="", repr=False)
    values: tuple[str, ...] = ()


class Asker:
    """Asks one provider, for some seconds at most.

    It does so in threads, as neither a look-up of a name nor an answer that drips is bounded by a socket's time-out.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._pool = Pool(f"c2c-auth-{title}", threads=8, queued=50)
        self._away = False

    def ask(
        self, method: str, url: str, *, bearer: str = "", timeout: float = TIMEOUT, **more: Any
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON object that was answered; ``more`` are arguments of ``requests.request``.

        Raises:
            AwayError: There was no answer in time, or one that says nothing: a server's error, too many questions.
        """
        future: concurrent.futures.Future[tuple[int, dict[str, Any]]] = concurrent.futures.Future()
        until = time.monotonic() + timeout

        def work() -> None:
            try:
                future.set_result(_asked(method, url, until, bearer, more))
            except Exception as error:  # noqa: BLE001 # raised where one waits
                future.set_exception(error)

        try:
            self._pool.submit(work)
            answer = future.result(timeout)
        # Those of requests are OSErrors.
        except (AwayError, OSError, BusyError, ValueError) as error:
            why = f"{urlsplit(url).netloc}: {error if isinstance(error, AwayError) else type(error).__name__}"
            away, self._away = self._away, True
            if not away:
                _LOG.warning("%s does not answer: %s", self._title, why)
            raise AwayError(f"it does not answer, try again ({why})") from None
        away, self._away = self._away, False
        if away:
            _LOG.warning("%s answers again", self._title)
        return answer


def _asked(method: str, url: str, until: float, bearer: str, more: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    import requests  # 4 MB, for those who log in only
    from urllib3.exceptions import HTTPError

    left = max(0.001, until - time.monotonic())  # less than asked for, where other questions were before this one
    headers = {"Accept": "application/json", "User-Agent": "c2c-auth"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
        more["auth"] = lambda request: request  # else a .netrc would win
    with requests.request(method, url, headers=headers, timeout=left, stream=True, **more) as response:
        body = b""
        # As it comes: an answer that drips is cut at its time.
        try:
            while chunk := response.raw.read1(64 * 1024, decode_content=True):
                body += chunk
                if len(body) > _LONGEST_BODY or time.monotonic() > until:
                    raise AwayError("an answer too long or too slow")
        except HTTPError as error:
            raise AwayError(type(error).__name__) from None
    if response.status_code >= _SERVER_ERROR or response.status_code == _TOO_MANY:
        raise AwayError(f"status {response.status_code}")
    data: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        data = json.loads(body)
    return response.status_code, data if isinstance(data, dict) else {}
