"""Acceptance-test tools: local servers, compositions, HTTP connections, images."""
