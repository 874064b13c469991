"""`python -m facegraft_cli`, as torchrun starts it."""

from facegraft_cli.main import main

main()
