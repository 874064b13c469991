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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facegraft.errors import FacegraftError, ProtocolError, WorkerError, WorkerTimeout
from facegraft.worker import protocol
from facegraft.worker.mapping import SharedMapping
from facegraft.worker.protocol import LOG_NAME, MESSAGE_S, READY_KEY, SOCKET_NAME, Message
from facegraft.worker.request import parse_merge, text_of

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
                    _Session(connection, self.service).run()
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
            _answer(connection, message, protocol.error_message(error))
            return False
        with self._lock:
            self._open += 1
        _answer(connection, message, protocol.greeting())
        return True


class _Session:
    """One greeted connection: its mapping, and the digest of the frame that lies in it."""

    def __init__(self, connection: socket.socket, service: "Callable[[], MergeService]") -> None:
        self._connection = connection
        self._service = service
        self._mapping: SharedMapping | None = None
        self._frame: tuple[int, int, int, str] | None = None  # offset, width, height, digest

    def run(self) -> None:
        try:
            while True:
                try:
                    body = protocol.receive(self._connection, None)
                except (ProtocolError, WorkerTimeout) as error:
                    log.warning("a connection is closed: %s", error)
                    _answer(self._connection, {}, protocol.error_message(error))
                    return  # where the next message begins is unknown
                if body is None:
                    return
                self._answer_one(body)
        finally:
            if self._mapping is not None:
                self._mapping.close()

    def _answer_one(self, body: bytes) -> None:
        message: Message = {}
        try:
            message = protocol.decode(body)
            reply = self._handle(message)
        except FacegraftError as error:
            reply = protocol.error_message(error)
        except Exception as error:  # whatever it is, the host gets an answer and the worker lives
            log.exception("unexpected error at %r", message.get("type"))
            reply = protocol.error_message(error)
        _answer(self._connection, message, reply)

    def _handle(self, message: Message) -> Message:
        match message["type"]:
            case "ping":
                return {"type": "pong"}
            case "map":
                return self._map(message)
            case "load_model":
                path = text_of(message, "model")
                return {"type": "model", **self._service().load_model(path)}
            case "merge":
                return self._merge(message)
            case kind:
                raise ProtocolError(
                    f"unknown message {kind!r}; known: ping, map, load_model, merge"
                )

    def _map(self, message: Message) -> Message:
        size = message.get("size")
        if not isinstance(size, int):
            raise ProtocolError(f"map: size is {size!r}; it is a whole number of bytes")
        fresh = SharedMapping.open(text_of(message, "path"), size)
        old, self._mapping, self._frame = self._mapping, fresh, None
        if old is not None:
            old.close()
        return {"type": "mapped"}

    def _merge(self, message: Message) -> Message:
        request = parse_merge(message)
        if self._mapping is None:
            raise ProtocolError("merge before map; send a mapping first")
        place = (request.input, request.width, request.height)
        rgba = self._mapping.frame(*place)
        out = self._mapping.frame(request.output, request.width, request.height)
        if abs(request.output - request.input) < rgba.nbytes:
            raise ProtocolError("the output frame overlaps the input frame in the mapping")
        digest = None
        if request.input_unchanged:
            if self._frame is None or self._frame[:3] != place:
                raise ProtocolError(
                    "input_unchanged: no such frame was sent before on this mapping"
                )
            digest = self._frame[3]
        else:
            self._frame = None
        outcome = self._service().merge(rgba, request, digest)
        self._frame = (*place, outcome.digest)
        x0, y0, x1, y1 = outcome.roi
        if outcome.layer.size:
            out.reshape(-1)[: outcome.layer.size] = outcome.layer.reshape(-1)
        return {
            "type": "merged",
            "roi": [x0, y0, x1, y1],
            "face_count": outcome.face_count,
            "cached": outcome.cached,
            "ms": outcome.ms,
        }


def _answer(connection: socket.socket, message: Message, reply: Message) -> None:
    protocol.send(connection, protocol.encode({**reply, "id": message.get("id")}))


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
    folder = folder or Path(tempfile.mkdtemp(prefix="facegraft-"))
    if os.name != "nt" and folder.stat().st_mode & 0o077:
        raise WorkerError(f"{folder} is open to other users; give a folder of mode 0700")
    try:
        token = secrets.token_hex(16)
        listener, address = listen(transport, folder)
        ready = {READY_KEY: protocol.PROTOCOL, **address, "token": token, "pid": os.getpid()}
        os.write(1, (json.dumps(ready) + "\n").encode())
        os.dup2(2, 1)  # whatever a library prints from here on goes to the log
        Server(listener, token).run()
    except KeyboardInterrupt:
        pass  # run by hand
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    try:
        for name in (SOCKET_NAME, LOG_NAME):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
    except OSError as error:
        log.info("%s stays: %s", folder, error)  # Windows while the host has the log open


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
