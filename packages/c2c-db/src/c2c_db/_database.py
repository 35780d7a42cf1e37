"""What an application says about a database."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from c2c_broadcast import ConfigurationError
from c2c_db._routing import Condition

# Within a URL a comma parts its hosts: one between URLs has white space, or a scheme, after it.
_BETWEEN_URLS = re.compile(r",?\s+|,(?=[\w+]+://)")

_ATTRIBUTE = "dbsession"
_ENGINE = "sqlalchemy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database: where its primary and replicas are, and which requests use which side.

    ``name`` is the attribute of the request (``request.dbsession``); ``engine_name`` and ``replica_engine_name`` stand
    in logs and metrics: ``sqlalchemy`` and ``sqlalchemy_slave`` where they are not given, or, of a database with
    another ``name``, that name and the same with ``_slave``. ``replica_urls`` are the replicas, each of which may be a
    URL with several hosts too; none, or the primary's own URL: one engine. ``options`` and ``replica_options`` are
    create_engine's (``pool_size``, ...; the replicas' are the primary's where None), ``session_options`` are Session's.
    """

    url: str
    replica_urls: tuple[str, ...] = ()
    name: str = _ATTRIBUTE
    engine_name: str | None = None
    replica_engine_name: str | None = None
    force_master: Iterable[Condition] | None = None
    force_slave: Iterable[Condition] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    replica_options: Mapping[str, Any] | None = None
    session_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def engine_names(self) -> tuple[str, str]:
        """The names of the primary's and the replica's engine."""
        primary = self.engine_name or (_ENGINE if self.name == _ATTRIBUTE else self.name)
        return primary, self.replica_engine_name or f"{primary}_slave"

    @classmethod
    def from_settings(
        cls,
        settings: Mapping[str, Any],
        prefix: str = _ENGINE,
        replica_prefix: str | None = "sqlalchemy_slave",
        **more: Any,
    ) -> "Database":
        """Make one of the ini keys ``{prefix}.url``, ``{prefix}.pool_size``, ... and the same with ``replica_prefix``.

        Raises:
            ConfigurationError: ``{prefix}.url`` is missing.
        """
        options = _options(settings, prefix)
        url = str(options.pop("url", None) or "").strip()
        if not url:
            raise ConfigurationError(
                f"{prefix}.url is not set: write {prefix}.url = postgresql://user:password@host:port/database"
            )
        replica = _options(settings, replica_prefix) if replica_prefix else {}
        urls = [str(replica.pop("url", None) or "").strip(), *_urls(replica.pop("urls", None))]
        return cls(
            url=url,
            replica_urls=tuple(one for one in urls if one),
            engine_name=prefix,
            replica_engine_name=replica_prefix,
            options=options,
            replica_options=replica,
            **more,
        )


def _urls(value: Any) -> list[str]:
    """Return the URLs in a setting: a text where white space or commas part them, or a list."""
    if isinstance(value, list | tuple):
        return [str(one).strip() for one in value]
    return _BETWEEN_URLS.split(str(value or "").strip())


def _options(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in settings.items() if key.startswith(start)}
