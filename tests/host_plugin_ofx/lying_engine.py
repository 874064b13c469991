"""An engine that greets as it should and then answers merges wrongly. Standard library only.

python lying_engine.py LIE -P -m facegraft.worker --folder FOLDER --transport unix
"""

import json
import os
import socket
import struct
import sys
from typing import Any

GOOD = {"type": "merged", "roi": [0, 0, 0, 0], "notes": []}
# what follows the four bytes of the length, for a merge; a text that is no JSON, or changed members
LIES: dict[str, Any] = {
    "nothing": b"",
    "no json": b"\xff\xfe{",
    "no object": b"[1, 2]",
    "another type": {"type": "mapped"},
    "another id": {"id": 999},
    "no roi": {"roi": None},
    "roi beyond the frame": {"roi": [0, 0, 121, 90]},
    "roi upside down": {"roi": [9, 9, 3, 3]},
    "roi below 0": {"roi": [-1, 0, 5, 5]},
    "roi of fractions": {"roi": [0, 0, 0.5, 1]},
    "roi of huge numbers": {"roi": [0, 0, 10**17, 10**17]},
    "an error without a text": {"type": "error", "text": 5},
    "too long": None,  # a length above the limit
    "cut short": None,  # a length that is never reached
}


def receive(connection: socket.socket) -> dict[str, Any]:
    (length,) = struct.unpack("<I", connection.recv(4, socket.MSG_WAITALL))
    return json.loads(connection.recv(length, socket.MSG_WAITALL))


def send(connection: socket.socket, body: bytes) -> None:
    connection.sendall(struct.pack("<I", len(body)) + body)


def lie(connection: socket.socket, kind: str, message: dict[str, Any]) -> None:
    if kind == "too long":
        connection.sendall(struct.pack("<I", 0xFFFFFFFF) + b"{}")
    elif kind == "cut short":
        connection.sendall(struct.pack("<I", 100) + b'{"type"')
        connection.close()
    elif isinstance(LIES[kind], bytes):
        send(connection, LIES[kind])
    else:
        send(connection, json.dumps({**GOOD, "id": message["id"], **LIES[kind]}).encode())


def main() -> None:
    kind, folder = sys.argv[1], sys.argv[sys.argv.index("--folder") + 1]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/s")
    listener.listen()
    ready = {"facegraft_worker": 2, "transport": "unix", "path": f"{folder}/s", "token": "t"}
    os.write(1, (json.dumps(ready) + "\n").encode())
    connection, _ = listener.accept()
    answers = {"hello": "greeting", "map": "mapped"}
    while True:
        message = receive(connection)
        if message["type"] == "merge":
            lie(connection, kind, message)
            os.read(0, 1)  # until the host ends it
            return
        send(
            connection, json.dumps({"type": answers[message["type"]], "id": message["id"]}).encode()
        )


if __name__ == "__main__":
    main()
