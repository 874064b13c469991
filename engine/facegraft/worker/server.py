"""The worker process: serves merges to the host that spawned it, and to nobody else.

It listens on a Unix socket in a folder of mode 0700, or on loopback TCP where there is none, and
asks every connection for the token that only its parent read. It ends when its stdin closes (the
host is gone) or a few seconds after its last connection closed. See `PROTOCOL.md`.
"""

import argparse
import hmac
import json
import logging
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facegraft.errors import FacegraftError, ProtocolError, WorkerError
from facegraft.worker import protocol
from facegraft.worker.leftovers import PREFIX, remove_folder, remove_leftovers
from facegraft.worker.protocol import MESSAGE_S, READY_KEY, SOCKET_NAME, Message
from facegraft.worker.session import Session, answer

if TYPE_CHECKING:
    from facegraft.worker.service import MergeService

log = logging.getLogger(__name__)

GRACE_S = 5.0  # a host that closed its only connection to drop a job may connect again within this
MAX_CONNECTIONS = 64  # more than any host has render threads
_TICK_S = 0.2  # how soon the accept loop sees that it shall end


class Server:
    """Accepts connections and answers each in a thread of its own."""

    def __init__(self, listener: socket.socket, token: str) -> None:
        self._listener = listener
        self._token = token
        self._service: MergeService | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._open = 0  # greeted connections
        self._threads = 0  # greeted or not
        self._last_closed: float | None = None  # None until the first connection was greeted

    def run(self) -> None:
        """Serve until the host is gone."""
        threading.Thread(target=self._watch_stdin, daemon=True).start()
        self._listener.settimeout(_TICK_S)
        while not self._is_over():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            with self._lock:
                room = self._threads < MAX_CONNECTIONS
                self._threads += room
            if room:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            else:
                log.warning("more than %d connections; one is refused", MAX_CONNECTIONS)
                connection.close()

    def service(self) -> "MergeService":
        """The one service, made when first asked for.

        Its OpenCV and onnxruntime take a second to load: the greeting does not wait for them, and
        where one of them is broken the host gets that as an answer.
        """
        with self._lock:
            if self._service is None:
                from facegraft.worker.service import MergeService

                self._service = MergeService()
            return self._service

    def _is_over(self) -> bool:
        with self._lock:
            idle_since = self._last_closed if self._open == 0 else None
        left = idle_since is not None and time.monotonic() - idle_since > GRACE_S
        return left or self._ended.is_set()

    def _watch_stdin(self) -> None:
        try:
            while os.read(0, 1 << 12):  # nothing is expected; what comes is thrown away
                pass
        except OSError as error:
            log.warning("stdin cannot be read (%s); the host is taken for gone", error)
        self._ended.set()

    def _serve(self, connection: socket.socket) -> None:
        greeted = False
        try:
            with connection:
                greeted = self._greet(connection)
                if greeted:
                    Session(connection, self.service).run()
        except (OSError, FacegraftError) as error:
            log.info("a connection ended: %s", error)
        finally:
            with self._lock:
                self._threads -= 1
                if greeted:
                    self._open -= 1
                    self._last_closed = time.monotonic()

    def _greet(self, connection: socket.socket) -> bool:
        """True after a good hello; a bad one is answered with the reason and the end."""
        message: Message = {}
        try:
            body = protocol.receive(connection, MESSAGE_S)
            if body is None:
                return False
            message = protocol.decode(body)
            if not hmac.compare_digest(str(message.get("token")).encode(), self._token.encode()):
                raise ProtocolError("the token is wrong; send the one from the worker's ready line")
            protocol.check_hello(message)
        except FacegraftError as error:
            log.warning("a connection is refused: %s", error)
            answer(connection, message, protocol.error_message(error))
            return False
        with self._lock:
            self._open += 1
        answer(connection, message, protocol.greeting())
        return True


def listen(transport: str, folder: Path) -> tuple[socket.socket, Message]:
    """A listening socket and how to reach it, for the ready line."""
    if transport == "unix":
        path = str(folder / SOCKET_NAME)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        address: Message = {"transport": "unix", "path": path}
    else:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        address = {"transport": "tcp", "port": listener.getsockname()[1]}
    listener.listen(MAX_CONNECTIONS)
    return listener, address


def serve(folder: Path | None, transport: str) -> None:
    """Run the worker in this process until its host is gone; prints the ready line on stdout.

    `folder`: of mode 0700, made by the host (None: a fresh one); removed at the end, unless it
    holds anything else than what host and worker put there.
    `transport`: "unix" or "tcp".
    Raises: WorkerError where other users may enter the folder.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix=PREFIX))
    if os.name != "nt" and folder.stat().st_mode & 0o077:
        raise WorkerError(f"{folder} is open to other users; give a folder of mode 0700")
    try:
        token = secrets.token_hex(16)
        listener, address = listen(transport, folder)
        ready = {READY_KEY: protocol.PROTOCOL, **address, "token": token, "pid": os.getpid()}
        os.write(1, (json.dumps(ready) + "\n").encode())
        os.dup2(2, 1)  # whatever a library prints from here on goes to the log
        remove_leftovers({folder.absolute().parent, Path(tempfile.gettempdir())})
        Server(listener, token).run()
    except KeyboardInterrupt:
        pass  # run by hand
    finally:
        remove_folder(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m facegraft.worker`, as hosts spawn it."""
    parser = argparse.ArgumentParser(prog="facegraft.worker", description=__doc__)
    parser.add_argument("--folder", type=Path, help="fresh folder of mode 0700 for the socket")
    default = "unix" if hasattr(socket, "AF_UNIX") else "tcp"
    parser.add_argument("--transport", choices=("unix", "tcp"), default=default)
    values = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    serve(values.folder, values.transport)
    sys.stderr.flush()
    os._exit(0)  # an inference in another thread would hold up the ordinary way out
