"""`facegraft worker`, run by hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from facegraft.worker import protocol
from facegraft.worker.launch import connect

COMMAND = [sys.executable, "-c", "from facegraft_cli.main import main; main()", "worker"]


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_it_prints_its_address_serves_and_ends_with_its_input(transport):
    """One line of JSON says how to reach it; closing standard input ends it with code 0."""
    process = subprocess.Popen(
        [*COMMAND, "--transport", transport],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdin is not None and process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["transport"] == transport and ready["pid"] == process.pid
        with connect(ready, 120) as connection:
            protocol.send(connection, protocol.encode(protocol.hello(ready["token"], "test")))
            body = protocol.receive(connection, 120)
            assert body is not None and protocol.decode(body)["type"] == "greeting"
        process.stdin.close()
        assert process.wait(120) == 0
    if transport == "unix":
        assert not Path(ready["path"]).parent.exists()
