"""Services of cornice with CORS."""

from c2c_rest.services import create

__all__ = ["create"]
