"""Questions to a provider, bounded in time and size, whatever it answers."""

import concurrent.futures
import contextlib
import json
import logging
import time
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
import urllib3
from oauthlib.oauth2 import OAuth2Error, WebApplicationClient

from c2c_broadcast.process import BusyError, Pool

_LOG = logging.getLogger(__name__)

Level = Literal["known", "read", "operate"]
TIMEOUT = 5.0
GARBAGE = (TypeError, ValueError, AttributeError, RecursionError)
"""What parsers of others raise for what a provider should not say."""
_LONGEST_BODY = 1024 * 1024
_BAD_REQUEST = 400
_TOO_MANY = 429
_SERVER_ERROR = 500


class LoginError(Exception):
    """The provider does not vouch for who wants to log in. The message is for people, and holds no secret."""


class NotBegunError(Exception):
    """This browser has not begun the log-in that comes back, or too long ago."""


class AwayError(Exception):
    """The provider did not answer, in time, or not for us now. The message has its host and no secret."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider said: its status, the text, and its JSON where that is an object."""

    status: int
    text: str
    data: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return self.status < _BAD_REQUEST

    def token(self) -> dict[str, Any]:
        """Return what a token endpoint answered (RFC 6749, 5.1).

        Raises:
            LoginError: It is an error, or no token.
        """
        try:
            token: dict[str, Any] = WebApplicationClient("").parse_request_body_response(self.text)
        except (OAuth2Error, *GARBAGE) as error:
            raise LoginError(f"the code was not taken ({type(error).__name__})") from None
        if not isinstance(token["access_token"], str):
            raise LoginError("there is no token in the answer")
        return token


class Asker:
    """Asks one provider, for some seconds at most.

    It does so in threads, as neither a look-up of a name nor an answer that drips is bounded by a socket's time-out.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._pool = Pool(f"c2c-auth-{title}", threads=8, queued=50)
        self._away = False

    def ask(self, method: str, url: str, *, timeout: float = TIMEOUT, **more: Any) -> Answer:
        """Ask; ``more`` are arguments of ``requests.request``.

        Raises:
            AwayError: There was no answer in time, or one that says nothing: a server's error, too many questions.
        """
        future: concurrent.futures.Future[Answer] = concurrent.futures.Future()
        until = time.monotonic() + timeout

        def work() -> None:
            try:
                future.set_result(_asked(method, url, until, more))
            except Exception as error:  # noqa: BLE001 # raised where one waits
                future.set_exception(error)

        try:
            self._pool.submit(work)
            answer = future.result(timeout)
        # Those of requests are OSErrors.
        except (AwayError, OSError, BusyError, ValueError, urllib3.exceptions.HTTPError) as error:
            why = f"{urlsplit(url).netloc}: {error if isinstance(error, AwayError) else type(error).__name__}"
            away, self._away = self._away, True
            if not away:
                _LOG.warning("%s does not answer: %s", self._title, why)
            raise AwayError(why) from None
        away, self._away = self._away, False
        if away:
            _LOG.warning("%s answers again", self._title)
        return answer


def _asked(method: str, url: str, until: float, more: dict[str, Any]) -> Answer:
    left = until - time.monotonic()
    if left <= 0:
        raise AwayError("too many questions wait")
    headers = {"Accept": "application/json", "User-Agent": "c2c-auth"}
    with requests.Session() as session:
        session.max_redirects = 3
        with session.request(method, url, headers=headers, timeout=left, stream=True, **more) as response:
            body = b""
            # As it comes: an answer that drips is cut at its time.
            while chunk := response.raw.read1(64 * 1024, decode_content=True):
                body += chunk
                if len(body) > _LONGEST_BODY or time.monotonic() > until:
                    raise AwayError("an answer too long or too slow")
    if response.status_code >= _SERVER_ERROR or response.status_code == _TOO_MANY:
        raise AwayError(f"status {response.status_code}")
    text = body.decode("utf-8", "replace")
    data: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        data = json.loads(text)
    return Answer(response.status_code, text, data if isinstance(data, dict) else {})


class Bearer(requests.auth.AuthBase):
    """Send a token. As authentication, not as a header: a .netrc would win, and a redirect to another host get it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        """Sign a request."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
