"""The demo and acceptance application."""
