"""JSON errors, CORS services, JSON renderers and proxy headers for Pyramid services."""
