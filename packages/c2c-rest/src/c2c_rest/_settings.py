"""What c2c-rest reads: how errors are shown and how JSON is written."""

from dataclasses import dataclass
from typing import Literal

from c2c_broadcast import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class RestSettings:
    """The settings of error views and JSON renderers."""

    disable_exception_handling: bool = setting(
        False,
        env="C2C_DISABLE_EXCEPTION_HANDLING",
        key="c2c.disable_exception_handling",
        help="leave exceptions to Pyramid, to pyramid_debugtoolbar or to the application's own views",
    )
    enable_exception_handling: bool = setting(
        True,
        env="C2C_ENABLE_EXCEPTION_HANDLING",
        key="c2c.enable_exception_handling",
        help="`0` says the same as the one above",
    )
    development: bool = setting(
        False,
        env="DEVELOPMENT",
        key="c2c.development",
        help="show everybody the stack trace and the SQL statement of an error",
    )
    redirects_no_cache: bool = setting(
        False,
        env="C2C_REDIRECTS_NO_CACHE",
        key="c2c.redirects_no_cache",
        help="a redirection or a 204 that is raised is not cached either, unless it says how",
    )
    json_engine: Literal["ujson", "orjson", "stdlib"] = setting(
        "ujson",
        env="C2C_JSON_ENGINE",
        key="c2c.json.engine",
        help="what writes `fast_json`: `ujson`, `orjson` (extra `[orjson]`) or `stdlib`",
    )
    json_pretty_print: bool = setting(
        True,
        env="C2C_JSON_PRETTY_PRINT",
        key="c2c.json.pretty_print",
        help="indent JSON by 2; false writes it without any space",
    )
    json_sort_keys: bool = setting(
        True, env="C2C_JSON_SORT_KEYS", key="c2c.json.sort_keys", help="sort the keys of objects"
    )
    json_nan: Literal["null", "error"] = setting(
        "null",
        env="C2C_JSON_NAN",
        key="c2c.json.nan",
        help="what NaN and infinities are in `json`: `null`, or an `error` (a 500 that says where, at some cost)",
    )

    @property
    def handles_exceptions(self) -> bool:
        """Whether exceptions become JSON."""
        return self.enable_exception_handling and not self.disable_exception_handling
