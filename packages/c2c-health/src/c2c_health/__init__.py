"""Health checks that cannot hang, lie or leak, and version information."""
