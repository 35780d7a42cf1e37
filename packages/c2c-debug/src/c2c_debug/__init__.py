"""Live diagnosis of every process of a Pyramid service."""
