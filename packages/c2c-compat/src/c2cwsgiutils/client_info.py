"""The proxy filter."""

from c2c_rest.client_info import Filter

__all__ = ["Filter"]
