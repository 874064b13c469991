"""Passes over a whole clip through the worker: its faces followed, its fits and seats measured.

For hosts, as `client.py`: standard library and numpy only. The frames go one by one over one
connection; what they leave there is dropped when it is closed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facegraft.worker.client import WorkerClient
from facegraft.worker.frame_message import CastPart, absolute, frame_values


@dataclass(frozen=True, slots=True)
class MeasuredSeat:
    """What seats a model's faces in a clip: SEAT_ROWS by name."""

    model: str  # path
    seat: dict[str, float]
    frames: int  # it was measured in


class ClipPasses:
    """Messages of a pass over a connection. Raises: as `WorkerClient.merge`, everywhere."""

    def __init__(self, client: WorkerClient) -> None:
        self._client = client

    def fit(
        self, rgba: np.ndarray, first: bool, matte: np.ndarray | None = None, **values: Any
    ) -> int:
        """Fit the tracked faces of one frame, `first` of a clip; gives how many there were.

        rgba, matte, values: as `WorkerClient.merge`; `frame` is the index in the clip.
        """
        message = {"type": "fit", "first": first, **frame_values(**values)}
        return self._client.ask_about(message, rgba, matte)["face_count"]

    def save_fits(self, path: str) -> dict[str, Any]:
        """Write what was fitted, for `fits` of merges. Gives `frames` and `faces`."""
        return self._client.ask({"type": "save_fits", "path": absolute(path)})

    def plan_seats(
        self,
        faces: str,
        size: tuple[int, int],
        params: Mapping[str, Any],
        model: str,
        choice: str = "",
        cast: Sequence[CastPart] = (),
    ) -> list[int]:
        """Indices of the frames that `look` needs, to seat every model on its faces.

        faces: track file or faceset. size: width and height of the clip's frames, px. params:
        framing and morph value count. model, choice, cast: as `WorkerClient.merge`.
        """
        values = frame_values(model=model, params=params, color="", choice=choice, cast=cast)
        about = {"faces": absolute(faces), "width": size[0], "height": size[1]}
        return self._client.ask({**values, "type": "plan_seats", **about})["frames"]

    def look(self, rgba: np.ndarray, index: int, color: str) -> int:
        """Measure one of the planned frames; gives how many models are found in it."""
        message = {"type": "look", "color": color, "index": index}
        return self._client.ask_about(message, rgba)["face_count"]

    def seats(self) -> list[MeasuredSeat]:
        """The seat of each model that has a face."""
        found = self._client.ask({"type": "seats"})["seats"]
        return [MeasuredSeat(one["model"], one["seat"], one["frames"]) for one in found]
