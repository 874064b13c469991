"""One face's colour, light and detail, from the network's picture to the face as it is pasted.

The order of the steps is told in `frame.py`. All of it happens in a square of the model's
resolution, or of the enhancer's multiple of it, in float and display-referred.
"""

from collections.abc import Hashable

import cv2
import numpy as np

from facegraft.merge.color.histogram import match_histogram
from facegraft.merge.color.light import match_light
from facegraft.merge.color.maps import IDENTITY, ColorMap
from facegraft.merge.color.seamless import seamless_clone
from facegraft.merge.color.transfer import counted, fit_transfer
from facegraft.merge.detail.degrade import bicubic_degrade, color_degrade, denoise, in_palette
from facegraft.merge.detail.motion import motion_blur, motion_in_square
from facegraft.merge.detail.sharpen import sharpen
from facegraft.merge.geometry import blend, covered, crop
from facegraft.merge.params import ColorTransfer, MergeMode
from facegraft.merge.seen import SeenFace

SOLID = 0.1  # of the mask: what seamless cloning and the size check count as face (DeepFaceLab)
_FITTED = ("color_transfer", "color_transfer_amount", "hist_match_masked", "hist_match_threshold")
_LIGHT = ("light_match", "light_size")
_FILTERS = ("motion_blur", "sharpen_mode", "sharpen_amount", "denoise", "bicubic_degrade")


class FaceStages(SeenFace):
    """The stages of one face, see SeenFace."""

    def finished(self) -> np.ndarray:
        """(S, S, 3) float32: the face as it is pasted."""
        if self.params.mode is MergeMode.RAW_RGB:
            return self.portrait()
        return self.kept("finished", self.finished_key(), self._finished)

    def finished_key(self) -> Hashable:
        if self.params.mode is MergeMode.RAW_RGB:
            return self.portrait_key()
        return self._filtered_key(), self._rows("color_degrade")

    def _filtered_key(self) -> Hashable:
        way = self._way()
        moved = None if way is None else (self.place_key(), way.tobytes())
        return self._toned_key(), self._rows(*_FILTERS), moved

    def _finished(self) -> np.ndarray:
        """The filters, in DeepFaceLab's order."""
        p, face = self.params, self.toned()
        way = self._way()
        if way is not None:
            way = motion_in_square(way, self.square.placed_at(len(face)))
            face = motion_blur(face, way, p.motion_blur)
        face = sharpen(face, p.sharpen_mode, p.sharpen_amount)
        face = denoise(face, p.denoise)
        face = bicubic_degrade(face, p.bicubic_degrade)
        return color_degrade(face, p.color_degrade, self._in_palette)

    def _in_palette(self, face: np.ndarray) -> np.ndarray:
        return self.kept("palette", self._filtered_key(), lambda: in_palette(face))

    def _way(self) -> np.ndarray | None:
        """(2,) px of the frame that the face is blurred along, if it is."""
        return self.extra.motion if self.params.motion_blur else None

    def toned(self) -> np.ndarray:
        """(S, S, 3) float32: the face in the frame's colour and light."""
        return self.kept("toned", self._toned_key(), self._toned)

    def _toned_key(self) -> Hashable:
        spatial = self._clones or self.params.light_match > 0
        return (
            self.base_key(),
            self.portrait_key(),
            self._rows("mode", *_FITTED, *_LIGHT),
            self.place_key() if spatial else None,
            self.mask_key() if self._clones else None,
            None if self.extra.color_map is None else self.extra.given,
        )

    def _toned(self) -> np.ndarray:
        p = self.params
        if self._clones:
            face = self._transferred(self.cloned())
            return self._matched(face) if p.mode is MergeMode.SEAMLESS_HIST_MATCH else face
        # light comes last: it mends what the transfer got wrong from place to place. A true face in
        # foreign light came 0.2 to 2.1 dB nearer so than by the other order, young models 0.1
        face = self._transferred(self.portrait())
        if p.mode is MergeMode.HIST_MATCH:
            face = self._matched(face)
        return self._lit(face)

    @property
    def _clones(self) -> bool:
        return self.params.mode in (MergeMode.SEAMLESS, MergeMode.SEAMLESS_HIST_MATCH)

    def cloned(self) -> np.ndarray:
        """(S, S, 3) float32 0..1: the portrait's gradients in the frame's light."""
        return self.kept("cloned", self._clone_key(), self._cloned)

    def _clone_key(self) -> Hashable:
        return self.portrait_key(), self._rows(*_LIGHT), self.place_key(), self.mask_key()

    def _cloned(self) -> np.ndarray:
        face = self._lit(self.portrait())
        frame = self.backdrop(len(face))
        clone = seamless_clone(face, frame, self._square_mask(self.mask(), len(face)) >= SOLID)
        return np.clip(clone, 0, 1)

    def backdrop(self, size: int) -> np.ndarray:
        """(S, S, 3) float32 0..1: the frame where the face is pasted."""
        matrix = self.square.placed_at(size)
        key = (self.place_key(), size)
        return self.kept("backdrop", key, lambda: np.clip(crop(self.image, matrix, size), 0, 1))

    def reference(self, size: int) -> np.ndarray:
        """(S, S, 3) 0..1: the frame's own face, which colours are fitted to."""
        if size == self.square.size:
            return self.sight()
        return self.kept(
            "reference",
            size,
            lambda: np.clip(crop(self.image, self.square.into_at(size), size), 0, 1),
        )

    def color_map(self) -> ColorMap:
        """What fits the face's colour to the frame, all the way."""
        if self.extra.color_map is not None:
            return self.extra.color_map
        return self.kept("color map", self._transfer_key(), self._color_map)

    def _transfer_key(self) -> Hashable:
        source = self._clone_key() if self._clones else self.portrait_key()
        return self._rows("color_transfer"), source, self.base_key()

    def _color_map(self) -> ColorMap:
        kind = self.params.color_transfer
        if kind is ColorTransfer.NONE:
            return IDENTITY
        face = self.cloned() if self._clones else self.portrait()
        size = len(face)
        weights = counted(kind, self._square_mask(self.base_mask(), size), self._inside(size))
        return fit_transfer(kind, self._framed(face), self.reference(size), weights)

    def _framed(self, face: np.ndarray) -> np.ndarray:
        """The face with the frame's own pixels around its mask. What a network trained under a mask
        paints outside of it has no meaning, and would spoil what counts the whole square."""
        mask = self._square_mask(self.base_mask(), len(face))
        return blend(self.reference(len(face)), face, mask)

    def _transferred(self, face: np.ndarray) -> np.ndarray:
        """Clone or portrait in the frame's colour; all the way is kept, so amounts are quick."""
        amount, colors = self.params.color_transfer_amount, self.color_map()
        if amount == 0 or colors is IDENTITY:
            return face
        moved = self.kept("transferred", self._transfer_key(), lambda: colors.apply(face))
        return moved if amount == 1 else cv2.addWeighted(face, 1 - amount, moved, amount, 0)

    def _matched(self, face: np.ndarray) -> np.ndarray:
        """In the frame's histogram; all of the square counts, or what the mask shows of it."""
        p, size = self.params, len(face)
        weights = self._inside(size)
        if p.mode is MergeMode.HIST_MATCH and p.hist_match_masked:
            weights = weights * self._square_mask(self.base_mask(), size)
        else:
            face = self._framed(face)
        return match_histogram(face, self.reference(size), weights, p.hist_match_threshold)

    def _lit(self, face: np.ndarray) -> np.ndarray:
        p, size = self.params, len(face)
        if p.light_match == 0:
            return face
        weights = self._square_mask(self.base_mask(), size)
        inside = covered(self.image.shape, self.square.placed_at(size), size)
        return match_light(
            face, self.backdrop(size), weights * inside, p.light_match, p.light_size / 1000 * size
        )

    def _inside(self, size: int) -> np.ndarray:
        """(S, S) float32, 0 where the square that the network sees looks past the frame."""
        return covered(self.image.shape, self.square.into_at(size), size)

    def _square_mask(self, mask: np.ndarray, size: int) -> np.ndarray:
        method = cv2.INTER_AREA if size < len(mask) else cv2.INTER_LINEAR
        return cv2.resize(mask, (size, size), interpolation=method)

    def portrait_key(self) -> Hashable:
        enhancer = self.extras.enhancer
        return self._rows("morph_value", "super_resolution"), enhancer and enhancer.digest
