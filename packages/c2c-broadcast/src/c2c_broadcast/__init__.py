"""Settings, operator access, broadcast between processes and shared state for Pyramid services."""
