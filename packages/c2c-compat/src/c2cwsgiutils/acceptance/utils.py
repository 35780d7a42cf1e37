"""Small tools for tests."""

from functools import partial

from c2c_testing import utils

__getattr__ = partial(getattr, utils)
