"""One connection of a host, from its greeting to its end: each request gets one answer.

Whatever goes wrong in a request becomes its answer; the connection lives on unless the stream
itself is out of step.
"""

import logging
import socket
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from facegraft.errors import FacegraftError, ProtocolError, WorkerTimeout
from facegraft.worker import protocol
from facegraft.worker.fields import text_of
from facegraft.worker.mapping import SharedMapping
from facegraft.worker.passes import ClipPasses
from facegraft.worker.protocol import Message
from facegraft.worker.request import parse_merge

if TYPE_CHECKING:
    from facegraft.worker.found import FoundFace
    from facegraft.worker.service import MergeService

log = logging.getLogger(__name__)


class Session:
    """One greeted connection: its mapping, and the digests of the frame and matte in it."""

    def __init__(self, connection: socket.socket, service: "Callable[[], MergeService]") -> None:
        self._connection = connection
        self._service = service
        self._mapping: SharedMapping | None = None
        # offset, width, height and digest of what lies in the mapping
        self._frame: tuple[int, int, int, str] | None = None
        self._matte: tuple[int, int, int, str] | None = None
        self._passes = ClipPasses(service)

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
            self._passes.close()
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
            case kind if kind in ClipPasses.KINDS:
                self._frame = self._matte = None  # what lies there is not what a merge left
                return self._passes.answer(message, self._mapping)
            case kind:
                known = ", ".join(("ping", "map", "load_model", "merge", *ClipPasses.KINDS))
                raise ProtocolError(f"unknown message {kind!r}; known: {known}")

    def _map(self, message: Message) -> Message:
        size = message.get("size")
        if not isinstance(size, int):
            raise ProtocolError(f"map: size is {size!r}; it is a whole number of bytes")
        fresh = SharedMapping.open(text_of(message, "path"), size)
        old, self._mapping, self._frame, self._matte = self._mapping, fresh, None, None
        if old is not None:
            old.close()
        return {"type": "mapped"}

    def _merge(self, message: Message) -> Message:
        request = parse_merge(message)
        if self._mapping is None or request.output is None:
            raise ProtocolError("merge before map; send a mapping first")
        size = (request.width, request.height)
        rgba = self._mapping.frame(request.input, *size)
        out = self._mapping.frame(request.output, *size)
        matte = None if request.matte is None else self._mapping.plane(request.matte, *size)
        _check_apart([(request.input, rgba), (request.output, out), (request.matte or 0, matte)])
        place, matte_place = (request.input, *size), (request.matte or 0, *size)
        digest = _known(self._frame, place, request.input_unchanged, "input_unchanged")
        matte_digest = _known(self._matte, matte_place, request.matte_unchanged, "matte_unchanged")
        self._frame = self._matte = None  # until it is known that this request succeeded
        outcome = self._service().merge(rgba, request, digest, matte, matte_digest, out.reshape(-1))
        self._frame = (*place, outcome.digest)
        self._matte = None if matte is None else (*matte_place, outcome.matte_digest)
        return {
            "type": "merged",
            "roi": list(outcome.roi),
            "face_count": outcome.face_count,
            "faces": [_described(found) for found in outcome.faces],
            "cached": outcome.cached,
            "notes": list(outcome.notes),
            "ms": outcome.ms,
        }


def _known(
    last: tuple[int, int, int, str] | None, place: tuple[int, int, int], unchanged: bool, flag: str
) -> str | None:
    """Digest of what lies at `place` since the last merge; None where it is new.

    Raises: ProtocolError where it is said to be old and was never there.
    """
    if not unchanged:
        return None
    if last is None or last[:3] != place:
        raise ProtocolError(f"{flag}: no such pixels were sent before on this mapping")
    return last[3]


def _check_apart(parts: Sequence[tuple[int, np.ndarray | None]]) -> None:
    spans = sorted((start, start + part.nbytes) for start, part in parts if part is not None)
    for (_, end), (start, _) in pairwise(spans):
        if start < end:
            raise ProtocolError("two of input, output and matte overlap in the mapping")


def _described(found: "FoundFace") -> Message:
    """A face of the frame for the host's overlay and lists; hundredths of a pixel."""
    face = found.face
    return {
        "landmarks": np.round(face.landmarks.astype(np.float64), 2).tolist(),
        "box": [round(float(value), 2) for value in face.box],
        "score": round(float(face.score), 4),
        "track": face.track if face.track >= 0 else None,
        "held": face.held,
        "chosen": found.chosen,
    }


def answer(connection: socket.socket, message: Message, reply: Message) -> None:
    protocol.send(connection, protocol.encode({**reply, "id": message.get("id")}))
