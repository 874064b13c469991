"""The messages between a host and the worker; `PROTOCOL.md` is the description for other languages.

A message is a 4-byte little-endian length and that many bytes of UTF-8 JSON, one object. Pixels
never travel in messages: they lie in a shared mapping (`mapping.py`). Standard library only, since
hosts import this into their own Python.
"""

import json
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

from facegraft import __version__, errors
from facegraft.controls import describe_table, table_digest
from facegraft.errors import FacegraftError, ProtocolError, WorkerError, WorkerTimeout
from facegraft.merge.params import MergeParams

PROTOCOL = 2  # raised whenever an older side would misread a message
MAX_MESSAGE = 1 << 20  # bytes; the greeting has 8 kB, 100 faces and their neighbours 500 kB
MESSAGE_S = 10.0  # a message once begun arrives whole within this; both sides share one machine
ALIGNMENT = 64  # bytes; frames in the mapping begin on cache lines
PIXEL_BYTES = 16  # RGBA float32
MATTE_BYTES = 4  # float32
MAX_SIDE = 16384  # px; a larger frame would need more than 8 GiB of mapping
SOCKET_NAME = "s"  # in the private folder; a socket's path has room for about 100 bytes
LOG_NAME = "log.txt"  # the worker's stderr, in the same folder
READY_KEY = "facegraft_worker"  # first key of the line a worker prints once it listens

_LENGTH = struct.Struct("<I")

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the worker says about itself."""

    protocol: int
    version: str
    table_digest: str
    table: list[dict[str, Any]]  # rows of MergeParams as `describe_table` gives them


def hello(token: str, host: str) -> Message:
    """The first message on every connection; `host` names the program, for the log."""
    return {
        "type": "hello",
        "protocol": PROTOCOL,
        "version": __version__,
        "table_digest": table_digest(MergeParams),
        "token": token,
        "host": host,
    }


def greeting() -> Message:
    """The worker's answer to a good hello."""
    return {
        "type": "greeting",
        "protocol": PROTOCOL,
        "version": __version__,
        "table_digest": table_digest(MergeParams),
        "table": describe_table(MergeParams),
    }


def check_hello(message: Message) -> None:
    """Raises: ProtocolError whose text says which side to update."""
    if message.get("type") != "hello":
        raise ProtocolError(f"the first message is {message.get('type')!r}; send 'hello' first")
    theirs = message.get("protocol")
    if theirs != PROTOCOL:
        older = isinstance(theirs, int) and theirs < PROTOCOL
        raise ProtocolError(
            f"the plug-in speaks protocol {theirs}, the engine protocol {PROTOCOL}; "
            f"update the {'plug-in' if older else 'engine'}"
        )
    digest = table_digest(MergeParams)
    if message.get("table_digest") != digest:
        raise ProtocolError(
            f"the plug-in's merge controls (version {message.get('version')}, table "
            f"{message.get('table_digest')}) differ from the engine's (version {__version__}, "
            f"table {digest}); {_older_side(str(message.get('version')))}"
        )


def _older_side(version: str) -> str:
    theirs, ours = _numbers(version), _numbers(__version__)
    if theirs < ours:
        return "update the plug-in"
    if theirs > ours:
        return "update the engine"
    return "reinstall both from the same release"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def error_message(error: BaseException) -> Message:
    """An error as a message: its class in the family of `errors.py`, and its text."""
    if isinstance(error, FacegraftError):
        return {"type": "error", "error": type(error).__name__, "text": str(error)}
    text = f"the engine met an error of its own ({type(error).__name__}: {error}); see its log"
    return {"type": "error", "error": "WorkerError", "text": text}


def error_from(message: Message) -> FacegraftError:
    """The exception that an error message stands for; an unknown name becomes WorkerError."""
    kind = getattr(errors, str(message.get("error")), WorkerError)
    if not (isinstance(kind, type) and issubclass(kind, FacegraftError)):
        kind = WorkerError
    return kind(str(message.get("text")))


def encode(message: Message) -> bytes:
    """Raises: ProtocolError above the size limit, and for what JSON does not have, like NaN."""
    try:
        body = json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"the message cannot be written as JSON: {error}") from error
    if len(body) > MAX_MESSAGE:
        raise ProtocolError(f"the message has {len(body)} bytes; the limit is {MAX_MESSAGE}")
    return _LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """Raises: ProtocolError for what is not one JSON object with a text `type`."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the message is not UTF-8 JSON: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError('a message is one JSON object with a text "type"')
    return message


def send(connection: socket.socket, data: bytes) -> None:
    """Send an encoded message. Raises: OSError where the other side is gone or does not read."""
    connection.settimeout(MESSAGE_S)
    connection.sendall(data)


def receive(connection: socket.socket, wait_s: float | None) -> bytes | None:
    """Body of the next message, waiting up to `wait_s` for it to begin (None: for ever).

    None at the end of the stream between two messages.
    Raises: WorkerTimeout; ProtocolError above the size limit, after which the stream is of no
    more use; ConnectionError where it ends inside a message.
    """
    connection.settimeout(wait_s)
    try:
        first = connection.recv(1)
    except TimeoutError as error:
        raise WorkerTimeout(f"no answer within {wait_s:g} s") from error
    if not first:
        return None
    deadline = time.monotonic() + MESSAGE_S
    (length,) = _LENGTH.unpack(first + _exactly(connection, _LENGTH.size - 1, deadline))
    if length > MAX_MESSAGE:
        raise ProtocolError(f"a message of {length} bytes is announced; the limit is {MAX_MESSAGE}")
    return _exactly(connection, length, deadline)


def _exactly(connection: socket.socket, count: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise WorkerTimeout(f"a message stalled for {MESSAGE_S:g} s")
        connection.settimeout(left)
        try:
            chunk = connection.recv(min(count - len(data), 1 << 16))  # 64 kB at a time
        except TimeoutError as error:
            raise WorkerTimeout(f"a message stalled for {MESSAGE_S:g} s") from error
        if not chunk:
            raise ConnectionResetError("the stream ended inside a message")
        data += chunk
    return bytes(data)
