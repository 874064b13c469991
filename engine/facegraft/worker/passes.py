"""Passes over a whole clip, whose frames a host hands over one by one: tracks, fits and seats.

One ClipPasses belongs to one connection, and holds what its passes gathered so far.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from facegraft.errors import ProtocolError
from facegraft.merge.clip.params import SEAT_ROWS
from facegraft.worker.clip_request import parse_save_tracks, parse_search, parse_seat_plan
from facegraft.worker.fields import path_of
from facegraft.worker.protocol import Message
from facegraft.worker.request import parse_merge

if TYPE_CHECKING:
    from facegraft.merge.fit_file import FitWriter
    from facegraft.worker.mapping import SharedMapping
    from facegraft.worker.seats import SeatPlan
    from facegraft.worker.service import MergeService
    from facegraft.worker.tracking import Tracker


class ClipPasses:
    """Answers the messages of KINDS. What computes is imported when it is needed: OpenCV and
    onnxruntime may not hold up the greeting."""

    KINDS = ("search", "save_tracks", "fit", "save_fits", "plan_seats", "look", "seats")

    def __init__(self, service: "Callable[[], MergeService]") -> None:
        self._service = service
        self._tracker: Tracker | None = None
        self._fits: FitWriter | None = None
        self._seats: SeatPlan | None = None

    def answer(self, message: Message, mapping: "SharedMapping | None") -> Message:
        """Raises: ProtocolError, and whatever the pass meets."""
        match message["type"]:
            case "search":
                return self._search(message, _there(mapping, message))
            case "save_tracks":
                return self._save_tracks(message)
            case "fit":
                return self._fit(message, _there(mapping, message))
            case "save_fits":
                return self._save_fits(message)
            case "plan_seats":
                self._seats = self._service().plan_seats(parse_seat_plan(message))
                return {"type": "planned", "frames": self._seats.frames}
            case "look":
                return self._look(message, _there(mapping, message))
            case _:
                return self._measured()

    def close(self) -> None:
        if self._fits is not None:
            self._fits.close()

    def _search(self, message: Message, mapping: "SharedMapping") -> Message:
        from facegraft.worker.tracking import Tracker, thumbnail

        request, service = parse_search(message), self._service()
        if self._tracker is None or request.is_first:
            self._tracker = Tracker(service.detector.name)
        rgba = mapping.frame(request.input, request.width, request.height)
        faces = service.detect(rgba, request.space)
        size = (request.width, request.height)
        self._tracker.add(request.index, faces, thumbnail(rgba, request.space), size)
        return {"type": "searched", "face_count": len(faces)}

    def _save_tracks(self, message: Message) -> Message:
        path, params = parse_save_tracks(message)
        if self._tracker is None:
            raise ProtocolError("save_tracks before search; search the frames of a clip first")
        found = self._tracker.save(path, params)
        return {"type": "tracks", **asdict(found)}

    def _fit(self, message: Message, mapping: "SharedMapping") -> Message:
        from facegraft.merge.fit_file import FitWriter

        request = parse_merge(message)
        size = (request.width, request.height)
        matte: np.ndarray | None = None
        if request.matte is not None:
            matte = mapping.plane(request.matte, *size)
        if self._fits is None or message.get("first") is True:
            self.close()
            self._fits = FitWriter()
        fits = self._service().fit(mapping.frame(request.input, *size), request, matte)
        self._fits.add(request.frame, fits)
        return {"type": "fitted", "face_count": sum(face.track >= 0 for face, *_ in fits)}

    def _save_fits(self, message: Message) -> Message:
        path = path_of(message, "path")
        if self._fits is None:
            raise ProtocolError("save_fits before fit; fit the frames of a clip first")
        writer, self._fits = self._fits, None
        writer.save(path)
        return {"type": "fits", "frames": writer.frames, "faces": writer.faces}

    def _look(self, message: Message, mapping: "SharedMapping") -> Message:
        request = parse_search(message)
        if self._seats is None:
            raise ProtocolError("look before plan_seats; ask which frames are needed first")
        rgba = mapping.frame(request.input, request.width, request.height)
        found = self._service().look(rgba, request.space, request.index, self._seats)
        return {"type": "looked", "face_count": found}

    def _measured(self) -> Message:
        if self._seats is None:
            raise ProtocolError("seats before plan_seats; ask which frames are needed first")
        plan, self._seats = self._seats, None
        found = [
            {
                "model": str(model.path),
                "seat": {name: getattr(seat, name) for name in SEAT_ROWS},
                "frames": seat.frame_count,
            }
            for model, seat in plan.measured()
        ]
        return {"type": "seats", "seats": found}


def _there(mapping: "SharedMapping | None", message: Message) -> "SharedMapping":
    if mapping is None:
        raise ProtocolError(f"{message['type']} before map; send a mapping first")
    return mapping
