"""Small tools for tests; the module's name is the documented one.

``DOCKER_GATEWAY`` is the host name for ports that containers publish: in a container its default gateway, else
``localhost``. It is found out when it is first asked for.
"""

from typing import Any

import pytest

from c2c_testing._docker import gateway, in_docker
from c2c_testing._waiting import retry, retry_timeout, wait_url

__all__ = [
    "DOCKER_GATEWAY",
    "approx",
    "in_docker",
    "retry",
    "retry_timeout",
    "skipIfCI",
    "wait_url",
]

DOCKER_GATEWAY: str

#: Mark a test that cannot run on a continuous integration server (environment variable CI or IN_CI, not 0 or false).
#: pytest evaluates the text when the test's turn has come, so that importing this reads no environment.
skipIfCI = pytest.mark.skipif(  # noqa: N816 - the documented name
    "any(os.environ.get(name, '0').lower() not in ('', '0', 'false') for name in ('CI', 'IN_CI'))",
    reason="not on a continuous integration server",
)


def __getattr__(name: str) -> str:
    if name == "DOCKER_GATEWAY":
        return gateway()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def approx(struct: Any, **kw: Any) -> Any:
    """Return a copy of the structure that equals another one whose floats differ a little.

    Dicts, lists and tuples are gone through to any depth; all but floats must be the same. ``kw`` are those of
    pytest.approx (``rel``, ``abs``, ``nan_ok``).
    """
    if isinstance(struct, float):
        return pytest.approx(struct, **kw)
    if isinstance(struct, dict):
        return {key: approx(value, **kw) for key, value in struct.items()}
    if isinstance(struct, list | tuple):
        # A named tuple takes its fields one by one.
        make = getattr(type(struct), "_make", type(struct))
        return make(approx(value, **kw) for value in struct)
    return struct
