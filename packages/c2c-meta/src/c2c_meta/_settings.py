"""The settings of c2c-meta itself."""

from dataclasses import dataclass

from c2c_broadcast import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaSettings:
    """What of the toolkit takes part."""

    exclude: tuple[str, ...] = setting(
        (),
        env="C2C_EXCLUDE",
        key="c2c.exclude",
        help="packages left out, by import name: c2c_sentry c2c_debug",
    )
