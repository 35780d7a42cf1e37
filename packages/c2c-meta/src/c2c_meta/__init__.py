"""The whole c2c toolkit for Pyramid services in one line."""
