"""What is checked, a kind a module; here, what all kinds need, and what of an address may be shown.

Libraries that only some services have (SQLAlchemy, alembic, redis) are imported where they are used.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from c2c_broadcast import names_secret
from c2c_health._check import Check


class Kind(ABC):
    """The part of ``HealthCheck`` that adds checks of one kind."""

    @abstractmethod
    def add(self, check: Check, clean: Callable[[], Any] | None = None) -> None:
        """Add a check; ``clean`` is called after each run of any check, in its thread."""


def shown(url: str) -> str:
    """Return ``url`` without user, password, query and fragment: fit to be the name of a check."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    scheme = f"{parts.scheme}://" if "://" in url else ""
    return f"{scheme}{host}{parts.path}".replace(",", "_")


def secrets_of(url: str, params: Any = None, headers: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield the texts in a request that no report may show: user and password, the query's values, some headers.

    Nobody can tell which parameter is a key; so all are hidden.
    """
    parts = urlsplit(url)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    pairs = params.items() if isinstance(params, Mapping) else params if isinstance(params, list | tuple) else ()
    values = [value for _, value in (*parse_qsl(parts.query), *pairs)]
    values += [value for name, value in (headers or {}).items() if names_secret(name) or name.lower() == "cookie"]
    yield from filter(None, (user, unquote(user), password, unquote(password), *map(str, values)))
