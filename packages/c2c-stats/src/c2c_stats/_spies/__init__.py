"""Watch libraries, as soon as the application imports them."""

from c2c_broadcast import when_imported


def _sqlalchemy() -> None:
    from c2c_stats._spies import sqlalchemy

    sqlalchemy.install()


def _requests() -> None:
    from c2c_stats._spies import requests_library

    requests_library.install()


def _redis() -> None:
    from c2c_stats._spies import redis_library

    redis_library.install()


def install(*, redis: bool) -> None:
    """Watch SQLAlchemy, requests and, where asked, redis. Where one is never imported this costs nothing."""
    when_imported("sqlalchemy", _sqlalchemy)
    when_imported("requests", _requests)
    if redis:
        when_imported("redis", _redis)
