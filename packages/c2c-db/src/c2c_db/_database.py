"""What an application says about a database."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from c2c_broadcast import ConfigurationError
from c2c_db._routing import Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database: where its primary and replicas are, and which requests use which side.

    ``name`` is the attribute of the request (``request.dbsession``); ``engine_name`` and ``replica_engine_name`` stand
    in logs and metrics. ``replica_urls`` are the replicas, each of which may be a URL with several hosts too; none, or
    the primary's own URL: one engine. ``options`` and ``replica_options`` are create_engine's (``pool_size``, ...; the
    replicas' are the primary's where None), ``session_options`` are Session's.
    """

    url: str
    replica_urls: tuple[str, ...] = ()
    name: str = "dbsession"
    engine_name: str = "sqlalchemy"
    replica_engine_name: str = "sqlalchemy_slave"
    force_master: Iterable[Condition] | None = None
    force_slave: Iterable[Condition] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    replica_options: Mapping[str, Any] | None = None
    session_options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_settings(
        cls,
        settings: Mapping[str, Any],
        prefix: str = "sqlalchemy",
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
        urls = [str(replica.pop("url", None) or ""), *str(replica.pop("urls", None) or "").split()]
        return cls(
            url=url,
            replica_urls=tuple(one.strip() for one in urls if one.strip()),
            engine_name=prefix,
            replica_engine_name=replica_prefix or f"{prefix}_slave",
            options=options,
            replica_options=replica,
            **more,
        )


def _options(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in settings.items() if key.startswith(start)}
