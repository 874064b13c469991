"""`facegraft merge` and `facegraft merge-preset`; a file for each section of the help."""
