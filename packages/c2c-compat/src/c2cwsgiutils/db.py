"""Primary and replica sessions."""

from c2c_db import create_session, init, setup_session

__all__ = ["create_session", "init", "setup_session"]
