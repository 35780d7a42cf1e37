"""The application of the ini file."""

from c2c_meta.wsgi import create_application

__all__ = ["create_application"]
