"""Primary and replica sessions for Pyramid services on SQLAlchemy."""
