"""What error reports read from settings and environment."""

import logging
import re
from dataclasses import dataclass
from typing import Any

from c2c_broadcast import family, setting


def _names(raw: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in re.split(r"[:,]", raw) if name.strip())


def _level(raw: str) -> int:
    found = logging.getLevelNamesMapping().get(raw.upper())
    if not found:
        raise ValueError("must be one of CRITICAL, ERROR, WARNING, INFO, DEBUG")
    return found


def _integration(name: str) -> Any:
    help_ = f"the SDK's integration of {name}, where it is installed"
    return setting(True, env=f"SENTRY_INTEGRATION_{name.upper()}", key=f"c2c.sentry_integration_{name}", help=help_)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentrySettings:
    """Where errors are reported, and how. ``client`` are options of the SDK's ``init``, as text."""

    url: str | None = setting(
        None,
        env="SENTRY_URL",
        key="c2c.sentry.url",
        aliases=("c2c.sentry_url",),
        secret=True,
        help="the DSN of the project in Sentry; without it nothing is reported",
    )
    excludes: tuple[str, ...] = setting(
        ("sentry_sdk",),
        env="SENTRY_EXCLUDES",
        key="c2c.sentry.excludes",
        aliases=("c2c.sentry_excludes",),
        parse=_names,
        help="loggers that are left out, with those below them; separated by colons or commas",
    )
    git_hash: str | None = setting(
        None, env="GIT_HASH", key="c2c.git_hash", help="the release, unless `SENTRY_CLIENT_RELEASE` names one"
    )
    level: int = setting(
        logging.ERROR,
        env="SENTRY_LEVEL",
        key="c2c.sentry_level",
        parse=_level,
        help="log level from which records are events",
    )
    traces_sample_rate: float = setting(
        0.0,
        env="SENTRY_TRACES_SAMPLE_RATE",
        key="c2c.sentry_traces_sample_rate",
        minimum=0,
        maximum=1,
        help="share of the requests that are traced",
    )
    integration_logging: bool = _integration("logging")
    integration_pyramid: bool = _integration("pyramid")
    integration_sqlalchemy: bool = _integration("sqlalchemy")
    integration_redis: bool = _integration("redis")
    integration_asyncio: bool = _integration("asyncio")
    client: dict[str, str] = family(
        env="SENTRY_CLIENT_", help="any option of the SDK's `init`: `SENTRY_CLIENT_ENVIRONMENT=prod`"
    )
    tags: dict[str, str] = family(env="SENTRY_TAG_", help="tags of each event: `SENTRY_TAG_SERVICE=map`")
