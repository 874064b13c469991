"""One connection of a host, from its greeting to its end: each request gets one answer.

Whatever goes wrong in a request becomes its answer; the connection lives on unless the stream
itself is out of step.
"""

import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from facegraft.errors import FacegraftError, ProtocolError, WorkerTimeout
from facegraft.worker import protocol
from facegraft.worker.mapping import SharedMapping
from facegraft.worker.protocol import Message
from facegraft.worker.request import parse_merge, text_of

if TYPE_CHECKING:
    from facegraft.worker.service import MergeService

log = logging.getLogger(__name__)


class Session:
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
                    answer(self._connection, {}, protocol.error_message(error))
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
        answer(self._connection, message, reply)

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


def answer(connection: socket.socket, message: Message, reply: Message) -> None:
    protocol.send(connection, protocol.encode({**reply, "id": message.get("id")}))
