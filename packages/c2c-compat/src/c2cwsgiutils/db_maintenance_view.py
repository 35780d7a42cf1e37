"""Maintenance mode: a part of the database"s sessions."""

from c2c_compat._include import including

__all__ = ["includeme", "install_subscriber"]

includeme = install_subscriber = including("c2c_db")
