"""The demo and acceptance application, its start-up, and its tests."""
