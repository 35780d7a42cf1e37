"""Metrics to statsd, a JSON view and Prometheus for Pyramid services."""
