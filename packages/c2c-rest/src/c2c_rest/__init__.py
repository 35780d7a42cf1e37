"""JSON errors, CORS services, JSON renderers and proxy headers for Pyramid services."""

from c2c_rest import client_info, services
from c2c_rest._includeme import includeme
from c2c_rest._settings import RestSettings
from c2c_rest.client_info import ProxySettings

__all__ = ["ProxySettings", "RestSettings", "client_info", "includeme", "services"]
