"""What is known of one face before it is painted: what the network sees and says, and its mask.

Each stage is kept under the values that it depends on, so that a changed control computes anew
what comes after it and nothing before; without a keeper, for as long as this face is merged, since
several stages ask for the network's answer. All of it happens in the face's square.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import cv2
import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.align import transform_points
from facegraft.faces.face import Face
from facegraft.inference import Prediction, SwapModel
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.geometry import crop, face_square, framing
from facegraft.merge.mask.face_mask import (
    MASK_SIZE,
    MaskInputs,
    MaskSource,
    base_mask,
    shape_mask,
    sources_of,
)
from facegraft.merge.mask.host_matte import matte_square
from facegraft.merge.mask.segmented import into_square, segment_frame, segment_prediction
from facegraft.merge.params import MaskMode, MergeParams

_PLACE = ("face_scale", "face_offset_x", "face_offset_y", "face_rotation")
_EDGES = ("erode", "blur", "feather_top", "feather_bottom", "feather_left", "feather_right")

T = TypeVar("T")


class SeenFace:
    """The first stages of one face. `image` is the frame as it came, without other faces' swaps."""

    def __init__(
        self,
        image: np.ndarray,
        face: Face,
        model: SwapModel,
        params: MergeParams,
        extra: FaceExtras,
        extras: FrameExtras,
    ) -> None:
        self.image = image
        self.face = face
        self.model = extra.model or model
        self.params = extra.params or params
        self.extra = extra
        self.extras = extras
        self.square = face_square(face, self.model, self.params)
        # what was given without a name is no part of a key, so such a face is computed anew
        nameless = () if extra.given else (extra.color_map, extra.mask)
        given = (extra.prediction, *nameless)
        self._keep = extras.keep if all(value is None for value in given) else None
        self._own: dict[Hashable, Any] = {}  # stages while there is no other place for them
        self.framing = framing(self.model, self.params)
        self._seen = (face.landmarks.tobytes(), self.framing, self.model.digest)

    def kept(self, stage: str, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute()` gives, or gave for the same face and key before."""
        if self._keep is None:
            if (stage, key) not in self._own:
                self._own[stage, key] = compute()
            return self._own[stage, key]
        return self._keep((stage, self._seen, key), compute)

    def place_key(self) -> Hashable:
        return self._rows(*_PLACE)

    def _rows(self, *names: str) -> tuple[Hashable, ...]:
        return tuple(getattr(self.params, name) for name in names)

    # what the network sees and says

    def sight(self) -> np.ndarray:
        """(R, R, 3) 0..1: the frame as the network sees it."""
        square = self.square
        return self.kept(
            "sight", None, lambda: np.clip(crop(self.image, square.into, square.size), 0, 1)
        )

    def prediction(self) -> Prediction:
        if self.extra.prediction is not None:
            return self.extra.prediction
        morph = self.params.morph_value
        return self.kept("prediction", morph, lambda: self.model.predict(self.sight(), morph))

    def portrait(self) -> np.ndarray:
        """(S, S, 3) 0..1: the predicted face, enhanced. S is R without super resolution."""
        face, power = self.prediction().face, self.params.super_resolution / 100
        if power == 0:
            return face
        enhanced = self._enhanced(face)
        size = (enhanced.shape[1], enhanced.shape[0])
        plain = cv2.resize(face, size, interpolation=cv2.INTER_CUBIC)
        return np.clip(cv2.addWeighted(plain, 1 - power, enhanced, power, 0), 0, 1)

    def _enhanced(self, face: np.ndarray) -> np.ndarray:
        enhancer = self.extras.enhancer
        if enhancer is None:
            raise ParameterError(
                f"super_resolution is {self.params.super_resolution:g} percent and no enhancer is "
                "given; give an enhancer model (ONNX) or set super_resolution to 0"
            )
        key = (self._rows("morph_value"), enhancer.digest)
        return self.kept("enhanced", key, lambda: enhancer.enhance(face))

    # the mask

    def base_mask(self) -> np.ndarray:
        """(MASK_SIZE, MASK_SIZE) 0..1, before its edges are made."""
        if self.extra.mask is not None:
            return self.extra.mask
        return self.kept("base mask", self.base_key(), self._base_mask)

    def base_key(self) -> Hashable:
        segmenter = self.extras.segmenter
        is_host = self.params.mask_mode is MaskMode.HOST
        return (
            self._rows("mask_mode", "morph_value"),
            self.place_key() if is_host else None,  # the matte stays where it was drawn
            segmenter and segmenter.digest,
            None if self.extra.mask is None else self.extra.given,
        )

    def _base_mask(self) -> np.ndarray:
        to_mask = self.square.into_at(MASK_SIZE)
        sources = sources_of(self.params.mask_mode)
        matte, host = self.extras.host_matte, None
        if matte is not None and MaskSource.HOST in sources:
            host = matte_square(matte, self.image.shape, self.square.placed_at(MASK_SIZE))
        inputs = MaskInputs(
            self.prediction(),
            transform_points(self.face.landmarks, to_mask),
            self._xseg_prd() if MaskSource.XSEG_PRD in sources else None,
            self.visible() if MaskSource.XSEG_DST in sources else None,
            host,
        )
        return base_mask(inputs, self.params.mask_mode)

    def _xseg_prd(self) -> np.ndarray | None:
        """(MASK_SIZE, MASK_SIZE) 0..1: the predicted face as the segmenter sees it; None without
        a segmenter."""
        segmenter, points = self.extras.segmenter, self.face.landmarks
        if segmenter is None:
            return None
        matrix = self.square.into_at(MASK_SIZE)
        face = self.prediction().face
        found = self.kept(
            "segmented prediction",
            (segmenter.digest, self._rows("morph_value")),
            lambda: segment_prediction(self.image, points, face, segmenter, matrix),
        )
        return into_square(found, points, segmenter, matrix)

    def visible(self) -> np.ndarray | None:
        """The same of the frame's own face."""
        segmenter, points = self.extras.segmenter, self.face.landmarks
        if segmenter is None:
            return None
        found = self.kept(
            "segmented frame",
            segmenter.digest,
            lambda: segment_frame(self.image, points, segmenter),
        )
        return into_square(found, points, segmenter, self.square.into_at(MASK_SIZE))

    def mask(self) -> np.ndarray:
        """(MASK_SIZE, MASK_SIZE) 0..1, finished."""
        return self.kept("mask", self.mask_key(), lambda: shape_mask(self.base_mask(), self.params))

    def mask_key(self) -> Hashable:
        return self.base_key(), self._rows(*_EDGES)
