"""`python -m facegraft.worker`: how hosts spawn the worker."""

from facegraft.worker.server import main

main()
