"""What proxies say of the client."""

from c2c_compat._include import filter_factory_of
from c2c_rest.client_info import Filter, filter_app

__all__ = ["Filter", "filter_factory"]

filter_factory = filter_factory_of(filter_app)
