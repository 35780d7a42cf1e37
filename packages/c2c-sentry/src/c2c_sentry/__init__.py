"""Error reports to Sentry from Pyramid services."""
