"""Log-in with GitHub: the rights on a repository decide."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from c2c_auth.provider import Asker, AwayError, Level, LoginError, Session
from c2c_auth.settings import AuthSettings
from c2c_broadcast.process import at_fork
from c2c_broadcast.settings import warn_once

_LOG = logging.getLogger(__name__)

LIFETIME = 7 * 24 * 3600
FRESH = 60.0
KEPT_WHILE_AWAY = 600.0
PAUSE_WHILE_AWAY = 10.0
MOST_RIGHTS = 10_000
_OK = 200
_UNAUTHORIZED = 401
_FORBIDDEN = 403


class Rights:
    """The rights of users on repositories: asked for once a minute, counting for ten while GitHub is away.

    ``ask(token, repository)`` returns them, None for a token that GitHub refuses, or raises ``AwayError``. While one
    thread asks again, others take what is known.
    """

    def __init__(
        self, ask: Callable[[str, str], frozenset[str] | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        # Rights, None where the token is no longer good; until when they count, and when to ask again.
        self._known: dict[bytes, tuple[frozenset[str] | None, float, float]] = {}
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Nobody asks in a new process."""
        self._lock = threading.Lock()
        self._asking: set[bytes] = set()

    def of(self, token: str, repository: str) -> frozenset[str] | None:
        """Return the rights, none where they are not known; None where the token is no longer good."""
        key = hashlib.sha256(f"{token} {repository}".encode()).digest()
        now = self._clock()
        with self._lock:
            rights, until, again = self._known.get(key, (frozenset(), now, now))
            rights = rights if now < until else frozenset()
            if now < again or key in self._asking:
                return rights
            self._asking.add(key)
        try:
            rights, until, again = self._ask(token, repository), now + KEPT_WHILE_AWAY, now + FRESH
        except AwayError:
            again = self._clock() + PAUSE_WHILE_AWAY
        finally:
            with self._lock:
                self._asking.discard(key)
                self._known.pop(key, None)
                self._known[key] = (rights, until, again)
                if len(self._known) > MOST_RIGHTS:
                    del self._known[next(iter(self._known))]
        return rights


class GitHub:
    """GitHub, or GitHub Enterprise, as a provider of operators."""

    name = "github"
    title = "GitHub"

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        self._ask = Asker(self.title).ask
        self._rights = Rights(self._asked)
        self._client = {"client_id": settings.github_client_id or "", "client_secret": settings.github_client_secret}
        self._repository = settings.github_repository or ""

    def authorization(self) -> tuple[str, dict[str, str]]:
        """Return where a log-in begins, and its parameters besides those of all providers."""
        settings = self._settings
        return settings.github_auth_url, {"client_id": settings.github_client_id or "", "scope": settings.github_scope}

    def identify(self, grant: dict[str, str], _nonce: str) -> Session:
        """Return the session of whom a code is for.

        Raises:
            LoginError: GitHub does not take the code.
            AwayError: GitHub does not answer.
        """
        _, found = self._ask("POST", self._settings.github_token_url, data={**grant, **self._client})
        token = str(found.get("access_token", ""))
        status, user = self._ask("GET", self._settings.github_user_url, bearer=token) if token else (0, {})
        login = user.get("login")
        if status != _OK or not isinstance(login, str):
            raise LoginError("it does not take the code")
        name, url, now = str(user.get("name") or login), str(user.get("html_url") or ""), time.time()
        return Session(self.name, login, name, url, now, now + LIFETIME, token)

    def level(self, session: Session) -> Level | None:
        """Return what a session gives now, None where GitHub does not know its token any more."""
        rights = self._rights.of(session.token, self._repository)
        if rights is None:
            return None
        if self._settings.github_access_type in rights:
            return "operate"
        return "read" if self._settings.github_read_access_type in rights else "known"

    def has_right(self, session: Session, repository: str | None, access: str | None) -> bool:
        """Tell whether the user has a right on a repository; by default the one that makes an operator."""
        rights = self._rights.of(session.token, repository or self._repository) or frozenset()
        return (access or self._settings.github_access_type) in rights

    def end(self, session: Session) -> None:
        """Have GitHub forget the token, if it can in two seconds."""
        client, secret = self._client.values()
        url = f"{self._settings.github_user_url.removesuffix('/user')}/applications/{quote(client or '')}/token"
        try:
            self._ask("DELETE", url, json={"access_token": session.token}, auth=(client, secret), timeout=2.0)
        except AwayError:
            return  # it was said; the cookie is gone, and the user can revoke the token at GitHub

    def _asked(self, token: str, repository: str) -> frozenset[str] | None:
        status, found = self._ask("GET", f"{self._settings.github_repo_url}/{quote(repository)}", bearer=token)
        if status == _UNAUTHORIZED:
            return None
        if status == _FORBIDDEN:  # too many requests, for one
            raise AwayError("403")
        rights: Any = found.get("permissions")
        if status != _OK or not isinstance(rights, dict):
            return frozenset()
        if found.get("private") is False and self._settings.github_access_type == "pull":
            warn_once(_LOG, "Every GitHub account has `pull` on %s, which is public: ask for `push`", repository)
        return frozenset(name for name, has in rights.items() if has is True)
