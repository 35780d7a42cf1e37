"""The package's settings."""

from dataclasses import dataclass
from typing import Literal

from c2c_broadcast import setting


def _one_element(raw: str) -> str:
    path = raw.strip().strip("/")
    if not path or "/" in path or not path.isprintable() or set(path) & set(" {}?#%"):
        raise ValueError("must be one plain element at the root, such as /profiler")
    return f"/{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugSettings:
    """Which tools there are: all are off by default."""

    debug_view_enabled: bool = setting(
        default=False,
        env="C2C_DEBUG_VIEW_ENABLED",
        key="c2c.debug_view_enabled",
        help="adds the views under `debug/`",
    )
    unknown_types: Literal["refuse", "none"] = setting(
        "refuse",
        env="C2C_DEBUG_UNKNOWN_TYPES",
        key="c2c.debug_unknown_types",
        help="`analyze_type` of `debug/memory` that no process knows: a 404 with near names, or no objects",
    )
    requests_in_flight: bool = setting(
        default=True,
        env="C2C_REQUESTS_IN_FLIGHT",
        key="c2c.requests_in_flight",
        help="keeps what each thread does in a file in memory: for `debug/running`, and to say which requests are lost",
    )
    sql_profiler_enabled: bool = setting(
        default=False,
        env="C2C_SQL_PROFILER_ENABLED",
        key="c2c.sql_profiler_enabled",
        help="adds the view `sql_profiler`, which switches the SQL profiler; needs `c2c-debug[sql]`",
    )
    profiler_path: str | None = setting(
        None,
        env="C2C_PROFILER_PATH",
        key="c2c.profiler_path",
        parse=_one_element,
        help="page of the Python profiler, one element at the root, such as `/profiler`; needs `c2c-debug[profiler]`",
    )
    profiler_modules: tuple[str, ...] = setting(
        (),
        env="C2C_PROFILER_MODULES",
        key="c2c.profiler_modules",
        help="packages whose share of the time the Python profiler's pie shows, separated by spaces",
    )
