"""Maintenance mode: a part of the database's sessions."""

from c2c_compat._include import including

includeme = install_subscriber = including("c2c_db")
