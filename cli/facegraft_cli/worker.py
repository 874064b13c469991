"""`facegraft worker`: run the process that hosts talk to, by hand."""

import socket

import click

from facegraft.worker.server import serve


@click.command()
@click.option(
    "--transport",
    type=click.Choice(["unix", "tcp"]),
    default="unix" if hasattr(socket, "AF_UNIX") else "tcp",
    show_default=True,
    help="Unix socket in a private folder, or loopback TCP.",
)
def worker(transport: str) -> None:
    """Serve merges to a host; the Blender node starts its own.

    Prints one line of JSON with the address and the token that a client sends, then serves until
    standard input closes (Ctrl-D), a few seconds after the last client left, or Ctrl-C. The
    protocol is described in engine/facegraft/worker/PROTOCOL.md.
    """
    serve(None, transport)
