"""Small tools for tests."""

from typing import Any

from c2c_testing import utils
from c2c_testing.utils import approx, in_docker, retry_timeout, skipIfCI, wait_url

__all__ = [
    "DOCKER_GATEWAY",  # noqa: F822 # given by __getattr__: it is found out when it is asked for
    "approx",
    "in_docker",
    "retry_timeout",
    "skipIfCI",
    "wait_url",
]


def __getattr__(name: str) -> Any:
    return getattr(utils, name)
