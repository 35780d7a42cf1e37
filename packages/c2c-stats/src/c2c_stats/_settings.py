"""What c2c-stats reads from the environment and the ini file."""

import contextlib
import re
from dataclasses import dataclass
from typing import Literal

from c2c_broadcast import family, setting

# Bytes of a datagram: what passes an Ethernet with its headers and a tunnel's, as DogStatsD's clients count them.
_UDP_DATAGRAM = 1432
_UNIX_DATAGRAM = 8192


@dataclass(frozen=True, slots=True)
class Address:
    """An address as it was configured: ``path`` of a unix socket, else ``host`` and ``port``."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def datagram(self) -> int:
        """The longest datagram to send there, in bytes."""
        return _UNIX_DATAGRAM if self.path else _UDP_DATAGRAM

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_ADDRESS = re.compile(r"\A(?:unix://(/.+)|(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:/@\[\]]+)):(\d{1,5}))")


def parse_address(raw: str) -> Address:
    found = _ADDRESS.fullmatch(raw)
    if found is None or (found[4] and not 0 < int(found[4]) <= 65_535):  # noqa: PLR2004 # the highest port
        raise ValueError("must look like host:8125, [::1]:8125 or unix:///run/statsd.sock")
    return Address(host=found[2] or found[3] or "", port=int(found[4] or 0), path=found[1] or "")


# Upper bounds of a timer's histogram, in seconds.
DEFAULT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_MOST_BUCKETS = 100
DEFAULT_PREFIX = "c2c_"
SIX = "c2cwsgiutils6"  # the set of names of c2cwsgiutils 6


def _prometheus_prefix(raw: str) -> str:
    if not re.fullmatch(r"[A-Za-z_:][A-Za-z0-9_:]*", raw):
        raise ValueError("must be letters, digits and underscores, such as myapp_")
    return raw


def _metrics_path(raw: str) -> str:
    if raw == "none":
        return ""
    path = "/" + raw.strip("/")
    if path == "/" or "{" in path or " " in path:
        raise ValueError("must be a plain path, such as /metrics, or none")
    return path


def _buckets(raw: str) -> tuple[float, ...]:
    if raw == "none":
        return ()
    bounds: tuple[float, ...] = ()
    with contextlib.suppress(ValueError):
        bounds = tuple(sorted({float(word) for word in raw.replace(",", " ").split()}))
    if not bounds or len(bounds) > _MOST_BUCKETS or not 0 < bounds[0] <= bounds[-1] < float("inf"):
        raise ValueError("must be 1 to 100 seconds above 0, such as 0.01,0.1,1,10, or none")
    return bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsSettings:
    """Where metrics go, and how they are called there."""

    stats_view: bool = setting(
        False, env="STATS_VIEW", key="c2c.stats_view", help="memory backend and `{C2C_BASE_PATH}/stats.json`"
    )
    statsd_address: Address | None = setting(
        None,
        env="STATSD_ADDRESS",
        key="c2c.statsd_address",
        parse=parse_address,
        help="`host:port`, `[v6]:port`, `unix:///path`",
    )
    statsd_prefix: str = setting(
        "", env="STATSD_PREFIX", key="c2c.statsd_prefix", help="first part of each statsd name"
    )
    statsd_use_tags: bool = setting(
        False, env="STATSD_USE_TAGS", key="c2c.statsd_use_tags", help="automatic metrics use tags"
    )
    statsd_tags: dict[str, str] = family(
        env="STATSD_TAG_", key="c2c.statsd_tag_", help="global tag of each statsd line, name lower-cased"
    )
    statsd_flush_interval: float = setting(
        0.5,
        env="STATSD_FLUSH_INTERVAL",
        key="c2c.statsd_flush_interval",
        minimum=0,
        maximum=86_400,
        help="seconds; 0 sends each metric at once",
    )
    statsd_multi_value: bool = setting(
        False,
        env="STATSD_MULTI_VALUE",
        key="c2c.statsd_multi_value",
        help="the server takes `name:1:2:3|ms` (DogStatsD 1.1)",
    )
    prometheus_prefix: str = setting(
        DEFAULT_PREFIX,
        env="C2C_PROMETHEUS_PREFIX",
        key="c2c.prometheus_prefix",
        parse=_prometheus_prefix,
        help="first part of each Prometheus name",
    )
    prometheus_names: Literal["c2c", "opentelemetry", "c2cwsgiutils6"] = setting(
        "c2c",
        env="C2C_PROMETHEUS_NAMES",
        key="c2c.prometheus_names",
        help="`opentelemetry` and `c2cwsgiutils6` name automatic metrics as those do",
    )
    prometheus_packages: tuple[str, ...] = setting(
        ("c2cwsgiutils", "pyramid", "gunicorn", "SQLAlchemy"),
        env="C2C_PROMETHEUS_PACKAGES",
        key="c2c.prometheus_packages",
        help="whose versions are labels of c2cwsgiutils 6's metric `version`",
    )
    prometheus_application_package: str = setting(
        "",
        env="C2C_PROMETHEUS_APPLICATION_PACKAGE",
        key="c2c.prometheus_application_package",
        help="whose version is its label `application`",
    )
    git_hash: str = setting("", env="GIT_HASH", key="c2c.git_hash", help="its label `git_hash`")
    prometheus_buckets: tuple[float, ...] = setting(
        DEFAULT_BUCKETS,
        env="C2C_PROMETHEUS_BUCKETS",
        key="c2c.prometheus_buckets",
        parse=_buckets,
        help="upper bounds of the histograms, seconds; `none`: summaries",
    )
    metrics_path: str = setting(
        "/metrics",
        env="C2C_METRICS_PATH",
        key="c2c.metrics_path",
        parse=_metrics_path,
        help="where Prometheus scrapes; `none`: nowhere",
    )
    stats_public_reset: bool = setting(
        False, env="C2C_STATS_PUBLIC_RESET", key="c2c.stats_public_reset", help="`stats.json?reset=1` is for everybody"
    )
    track_redis: bool = setting(True, env="C2C_TRACK_REDIS", key="c2c.track_redis", help="time Redis commands")
