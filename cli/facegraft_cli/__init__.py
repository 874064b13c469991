"""The `facegraft` command line."""
