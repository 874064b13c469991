"""The Python client of the worker: what the Blender add-on and the tests talk through.

Standard library and numpy only, Python 3.11 to 3.13, numpy 1.26 and 2: it runs inside the host.
Every call has a time limit. A client whose worker died or hung stays dead; starting a new one is
the host's decision.

    with WorkerClient.start() as client:
        reply = client.merge(rgba, model="/models/ada.dfm", params={"mix": 1.0}, color="display")
        x0, y0, x1, y1 = reply.roi
        part, below = reply.part, rgba[y0:y1, x0:x1, :3]
        below[...] = part[..., :3] + below * (1 - part[..., 3:])
"""

import os
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from facegraft.errors import (
    FacegraftError,
    ParameterError,
    ProtocolError,
    WorkerDied,
    WorkerTimeout,
)
from facegraft.worker import protocol
from facegraft.worker.frame_message import CastPart, absolute, frame_values
from facegraft.worker.launch import WorkerProcess, connect, find_engine
from facegraft.worker.mapping import SharedMapping, frame_bytes
from facegraft.worker.protocol import MATTE_BYTES, MAX_SIDE, Greeting, Message

__all__ = ["CastPart", "Greeting", "MergeReply", "WorkerClient", "find_engine"]

Transport = Literal["unix", "tcp"]

START_S = 60.0  # a cold start reads 100 MB of libraries from a slow disk
PING_S = 10.0  # no work behind it
MODEL_S = 180.0  # 700 MB of model, and a GPU's first use
MERGE_S = 180.0  # the first frame may load the model and the detector as well


@dataclass(frozen=True, slots=True, eq=False)
class MergeReply:
    """The face layer of one frame: its part inside `roi`, since it is zero everywhere else.

    part: (y1 - y0, x1 - x0, 4) float32 premultiplied, in the input's colour space; alpha is the
          matte, and where that is zero the colour is, too.
          out_rgb = part_rgb + upstream_rgb * (1 - part_alpha), out_alpha = upstream alpha.
    """

    part: np.ndarray
    roi: tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels from the top left; all 0 for none
    size: tuple[int, int]  # width and height of the frame
    face_count: int  # of those that were chosen
    faces: list[dict[str, Any]]  # all of the frame's: landmarks, box, score, track, held, chosen
    notes: list[str]  # sentences for the user: which rows this frame could not follow, and why
    cached: dict[str, bool]  # "detection", "inference": true where it was not run anew
    ms: dict[str, float]  # milliseconds by stage, in the worker

    @property
    def layer(self) -> np.ndarray:
        """(H, W, 4) float32: the layer of the whole frame, made anew at each call; at 1080p that
        takes as long as many a change of a control, so hosts that can lay a part do so."""
        width, height = self.size
        x0, y0, x1, y1 = self.roi
        whole = np.zeros((height, width, 4), np.float32)
        whole[y0:y1, x0:x1] = self.part
        return whole

    def __repr__(self) -> str:
        width, height = self.size
        return f"MergeReply({width}x{height}, {self.face_count} faces, roi {self.roi}, {self.ms})"


class WorkerClient:
    """One connection to a worker. Calls from several threads wait for each other; a thread that
    should not wait for transfers takes a connection of its own with `share()`."""

    def __init__(self, process: WorkerProcess, owner: bool, timeout_s: float) -> None:
        self._process = process
        self._owner = owner
        self._lock = threading.RLock()
        self._mapping: SharedMapping | None = None
        self._last: dict[str, tuple[int, int]] = {}  # sizes of what the worker knows in it
        self._next_id = 1
        self._connection: socket.socket | None = None
        try:
            self._connection = connect(process.ready, timeout_s)
            hello = protocol.hello(str(process.ready["token"]), os.path.basename(sys.executable))
            reply = self._call(hello, timeout_s)
        except FacegraftError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise WorkerDied(process.describe(f"cannot connect to the engine: {error}")) from error
        self.greeting = Greeting(**{k: reply[k] for k in Greeting.__dataclass_fields__})

    @classmethod
    def start(
        cls,
        command: Sequence[str] | None = None,
        timeout_s: float = START_S,
        transport: Transport | None = None,
    ) -> Self:
        """Spawn a worker and greet it. `command` runs it (None: `find_engine()`).

        Raises: WorkerDied where it cannot start, ProtocolError where the two sides' versions or
        merge controls differ, WorkerTimeout.
        """
        kind = transport or ("unix" if hasattr(socket, "AF_UNIX") and os.name != "nt" else "tcp")
        return cls(WorkerProcess(command or find_engine(), kind, timeout_s), True, timeout_s)

    def share(self) -> "WorkerClient":
        """Another connection to the same worker; closing it leaves the worker running."""
        return WorkerClient(self._process, False, START_S)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._connection is not None and self._process.alive

    def ping(self, timeout_s: float = PING_S) -> None:
        """Returns when the worker answered."""
        self._call({"type": "ping"}, timeout_s)

    def load_model(self, path: str, timeout_s: float = MODEL_S) -> dict[str, Any]:
        """Load a .dfm and describe it: digest, resolution, has_morph, spec, record.

        Raises: NotAModel and other ModelErrors, WorkerError.
        """
        return self._call({"type": "load_model", "model": absolute(path)}, timeout_s)

    def merge(
        self,
        rgba: np.ndarray,
        *,
        model: str,
        params: Mapping[str, Any],
        color: str,
        faces: Sequence[Mapping[str, Any]] | None = None,
        faceset: str | None = None,
        frame_key: str | None = None,
        choice: str = "",
        cast: Sequence[CastPart] = (),
        segmenter: str = "",
        enhancer: str = "",
        matte: np.ndarray | None = None,
        frame: int = 0,
        seat: Mapping[str, float] | None = None,
        fits: str = "",
        recognition: str = "",
        likeness: float | None = None,
        timeout_s: float = MERGE_S,
    ) -> MergeReply:
        """Swap the faces of one frame.

        rgba:      (H, W, 4) float32, premultiplied, top row first; values above 1 are kept.
        params:    values of MergeParams by name; the rest is default.
        color:     "display" (sRGB), "scene_linear" (Rec. 709 primaries), or another name of
                   `media/working_space.py`.
        faces:     instead of detection: mappings with landmarks, 68 (x, y) in frame pixels, and,
                   where they are known, track, score, held, the track's size over the clip
                   (track_size, px), and the face's landmarks one frame `before` and `after`,
                   which motion blur needs.
        faceset:   folder whose faces of the frame named `frame_key` are taken instead.
        choice:    which of the faces are meant, see `merge/clip/choose.py`; empty for all.
        cast:      other models for some of the faces; the first that means a face has it. With
                   one, `model` may be empty: the other faces then stay as they are.
        segmenter, enhancer: paths of the networks that xseg masks and super resolution need.
        matte:     (H, W) float32 0..1, for mask mode host.
        frame:     number of the frame, 0 or more: each has grain of its own.
        seat:      SEAT_ROWS (merge/clip/params.py) by name, added for faces that get `model`.
        fits:      file of `clip_client.ClipPasses.save_fits`, for the rows that look along time;
                   `frame` is then the index in the clip.
        recognition, likeness: path of the face recognition network for choices like:PICTURE, and
                   the least cosine similarity; None for the default.

        Raises: ParameterError, ModelError, MissingWeights and others of the family as the worker
        met them; WorkerDied, WorkerTimeout, ProtocolError.
        """
        height, width = _check_frame(rgba)
        room = frame_bytes(width, height)
        message: Message = {
            "type": "merge",
            "width": width,
            "height": height,
            "input": 0,
            "output": room,
            **frame_values(
                model=model, params=params, color=color, faces=faces, faceset=faceset,
                frame_key=frame_key, choice=choice, cast=cast, segmenter=segmenter,
                enhancer=enhancer, frame=frame, seat=seat, fits=fits, recognition=recognition,
                likeness=likeness,
            ),
        }  # fmt: skip
        with self._lock:
            size = 2 * room
            if matte is not None:
                matte = _check_matte(matte, width, height)
                message["matte"] = size
                size += frame_bytes(width, height, MATTE_BYTES)
            mapping = self._mapping_of(size)
            known, self._last = self._last, {}  # until the worker has answered
            last = known.get("input") == (width, height)
            message["input_unchanged"] = _put(mapping.frame(0, width, height), rgba, last)
            if matte is not None:
                plane = mapping.plane(2 * room, width, height)
                last = known.get("matte") == (width, height)
                message["matte_unchanged"] = _put(plane, matte, last)
            reply = self._call(message, timeout_s)
            self._last = {"input": (width, height)}
            if matte is not None:
                self._last["matte"] = (width, height)
            x0, y0, x1, y1 = (int(v) for v in reply["roi"])
            part = np.empty((y1 - y0, x1 - x0, 4), np.float32)
            if part.size:
                part[...] = mapping.frame(room, x1 - x0, y1 - y0)
        return MergeReply(
            part,
            (x0, y0, x1, y1),
            (width, height),
            reply["face_count"],
            reply["faces"],
            reply["notes"],
            reply["cached"],
            reply["ms"],
        )

    def search(
        self, rgba: np.ndarray, index: int, color: str, first: bool, timeout_s: float = MERGE_S
    ) -> int:
        """Find the faces of one frame of a clip, for `save_tracks`; gives their number.

        rgba, color: as `merge`. index: of the frame in the clip, rising. first: begins a clip.
        Raises: ParameterError, MissingWeights, as the worker met them; as `merge` beside.
        """
        message = {"type": "search", "color": color, "index": index, "first": first}
        return self.ask_about(message, rgba, timeout_s=timeout_s)["face_count"]

    def ask_about(
        self,
        message: Message,
        rgba: np.ndarray,
        matte: np.ndarray | None = None,
        timeout_s: float = MERGE_S,
    ) -> Message:
        """The answer to a message about one frame that asks for no layer; where frame and matte lie
        is added to it. rgba, matte: as `merge`. Raises: as `merge`."""
        height, width = _check_frame(rgba)
        room = frame_bytes(width, height)
        about: Message = {"width": width, "height": height, "input": 0}
        with self._lock:
            size = room
            if matte is not None:
                matte = _check_matte(matte, width, height)
                about["matte"] = room
                size += frame_bytes(width, height, MATTE_BYTES)
            mapping = self._mapping_of(size)
            self._last = {}
            _put(mapping.frame(0, width, height), rgba, compare=False)
            if matte is not None:
                _put(mapping.plane(room, width, height), matte, compare=False)
            return self.ask({**message, **about}, timeout_s)

    def ask(self, message: Message, timeout_s: float = MERGE_S) -> Message:
        """The answer to a message as worker/PROTOCOL.md has it. Raises: as `merge`."""
        return self._call(message, timeout_s)

    def save_tracks(
        self, path: str, clip: Mapping[str, Any], timeout_s: float = MERGE_S
    ) -> dict[str, Any]:
        """Follow the faces of the frames that were searched and write them to a track file.

        clip: values of ClipParams by name. Gives `frames`, `frames_without_face` and `tracks`.
        Raises: ParameterError, WriteError as the worker met them; as `merge` beside.
        """
        return self._call(
            {"type": "save_tracks", "path": absolute(path), "clip": dict(clip)}, timeout_s
        )

    def close(self) -> None:
        """Close the connection, and end the worker where this client started it."""
        self._drop_connection()
        mapping, self._mapping = self._mapping, None
        if mapping is not None:
            mapping.close()
        if self._owner:
            self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _mapping_of(self, size: int) -> SharedMapping:
        """The mapping, made anew where it is too small; the worker follows."""
        if self._mapping is not None and self._mapping.size >= size:
            return self._mapping
        fresh = SharedMapping.create(size)
        try:
            self._call({"type": "map", "path": fresh.path, "size": size}, PING_S)
            fresh.remove_name()
        except BaseException:
            fresh.close()
            raise
        old, self._mapping, self._last = self._mapping, fresh, {}
        if old is not None:
            old.close()
        return fresh

    def _call(self, message: Message, timeout_s: float) -> Message:
        with self._lock:
            connection = self._connection
            if connection is None:
                raise WorkerDied("this connection to the engine is closed; start a new worker")
            number, self._next_id = self._next_id, self._next_id + 1
            data = protocol.encode({**message, "id": number})
            try:
                protocol.send(connection, data)
                body = protocol.receive(connection, timeout_s)
                if body is None:
                    raise ConnectionResetError("it closed the connection")
                reply = protocol.decode(body)
            except WorkerTimeout as error:
                # a late answer would write into the frame of the next call, so the worker goes too
                text = self._process.describe(f"{message['type']}: {error}; the engine is stopped")
                self._give_up()
                raise WorkerTimeout(text) from error
            except OSError as error:
                if self._connection is not connection:
                    raise WorkerDied("this connection was closed while it waited") from error
                text = self._process.describe(f"the engine died at {message['type']!r}: {error}")
                self._give_up()
                raise WorkerDied(text) from error
            except BaseException:
                self._give_up()  # the stream is out of step
                raise
            if reply["type"] == "error":
                raise protocol.error_from(reply)
            if reply.get("id") != number:
                self._give_up()
                raise ProtocolError(f"answer {reply.get('id')} came to call {number}")
            return reply

    def _give_up(self) -> None:
        self._drop_connection()
        self._process.close()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.shutdown(socket.SHUT_RDWR)  # wakes a call that another thread has in it
            except OSError:
                pass  # the other side was quicker
            connection.close()


def _check_frame(rgba: np.ndarray) -> tuple[int, int]:
    if rgba.dtype != np.float32 or rgba.ndim != 3 or rgba.shape[2] != 4 or rgba.size == 0:
        raise ParameterError(
            f"the frame is {rgba.dtype} {rgba.shape}; the worker takes float32 (H, W, 4)"
        )
    height, width = rgba.shape[:2]
    if max(height, width) > MAX_SIDE:
        raise ParameterError(f"the frame is {width}x{height} px; the limit is {MAX_SIDE} a side")
    return height, width


def _check_matte(matte: np.ndarray, width: int, height: int) -> np.ndarray:
    if matte.shape != (height, width):
        raise ParameterError(
            f"the matte has shape {matte.shape}, the frame {width}x{height} px; give one float32 "
            "channel of the frame's size"
        )
    return matte.astype(np.float32, copy=False)


def _put(target: np.ndarray, pixels: np.ndarray, compare: bool) -> bool:
    """Copy pixels into the mapping; True where these very bytes lay there already.

    Comparing takes as long as copying (5 ms at 1080p) and saves the worker its hash (24 ms).
    """
    source = pixels if pixels.flags.c_contiguous else np.ascontiguousarray(pixels)
    if compare and _same_bits(target, source):
        return True
    np.copyto(target, source)
    return False


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two contiguous float32 arrays hold the same bytes: NaN equals itself here, and -0
    does not equal 0."""
    pair = a.nbytes % 8 == 0
    flat = [np.frombuffer(x.data, np.uint64 if pair else np.uint32) for x in (a, b)]
    step = 1 << 17  # a megabyte at a time: what differs is found early, and no large mask is made
    return all(
        np.array_equal(flat[0][i : i + step], flat[1][i : i + step])
        for i in range(0, len(flat[0]), step)
    )
