"""JSON logs, request ids and run-time log levels for Pyramid services."""
