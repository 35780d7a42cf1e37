"""The handler that logs to a database."""

from c2c_logging import SQLAlchemyHandler

__all__ = ["SQLAlchemyHandler"]
