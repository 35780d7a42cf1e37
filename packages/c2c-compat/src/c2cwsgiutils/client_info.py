"""The proxy filter."""

from c2c_compat._filters import client_info as filter_factory
from c2c_rest.client_info import Filter

__all__ = ["Filter", "filter_factory"]
