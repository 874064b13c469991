"""Masks: what each mode shows, and that one value means the same for every model."""

from functools import lru_cache

import cv2
import numpy as np
import pytest

from facegraft.errors import ParameterError
from facegraft.faces.landmarks import MEAN_FACE, hull_mask
from facegraft.inference import Prediction
from facegraft.merge.mask.face_mask import (
    LEAST,
    MASK_SIZE,
    MaskInputs,
    MaskSource,
    base_mask,
    face_mask,
    shape_mask,
    sources_of,
)
from facegraft.merge.params import MaskMode, MergeParams

Q = MASK_SIZE // 4


def _landmarks() -> np.ndarray:
    """A mean face in the middle of the working square."""
    points = np.zeros((68, 2), np.float32)
    points[17:] = MEAN_FACE
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([0.5 + 0.6 * np.cos(angle), 0.3 + 0.75 * np.sin(angle)], axis=-1)
    return points * (MASK_SIZE * 0.4) + MASK_SIZE * 0.3


def _quarters(
    top_left: float, top_right: float, bottom_left: float, bottom_right: float, side: int
):
    """(side, side) of four even quarters."""
    values = np.array([[top_left, top_right], [bottom_left, bottom_right]], np.float32)
    return np.kron(values, np.ones((side // 2, side // 2), np.float32))


def _prediction(size: int = 64) -> Prediction:
    face = np.zeros((size, size, 3), np.float32)
    return Prediction(face, _quarters(1, 0.5, 1, 0, size), _quarters(0.5, 1, 0.25, 0, size))


def _inputs(size: int = 64) -> MaskInputs:
    return MaskInputs(
        _prediction(size),
        _landmarks(),
        xseg_prd=_quarters(0.5, 0.5, 0, 1, 256),
        xseg_dst=_quarters(1, 0.5, 1, 0.5, MASK_SIZE),
        host=_quarters(0, 0, 0.75, 1, MASK_SIZE),
    )


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("full", (1, 1, 1, 1)),
        ("learned_prd", (1, 0.5, 1, 0)),
        ("learned_dst", (0.5, 1, 0.25, 0)),
        ("learned_product", (0.5, 0.5, 0.25, 0)),
        ("learned_sum", (1, 1, 1, 0)),  # clipped
        ("xseg_prd", (0.5, 0.5, 0, 1)),
        ("xseg_dst", (1, 0.5, 1, 0.5)),
        ("xseg_product", (0.5, 0.25, 0, 0.5)),
        ("all_product", (0.25, 0.125, 0, 0)),
        ("host", (0, 0, 0.75, 1)),
    ],
)
def test_each_mode_shows_its_own_mask(mode, expected):
    mask = base_mask(_inputs(), MaskMode(mode))
    assert mask.shape == (MASK_SIZE, MASK_SIZE) and mask.dtype == np.float32
    np.testing.assert_allclose(mask[Q :: 2 * Q, Q :: 2 * Q].ravel(), expected, atol=1e-6)


def test_the_hull_is_the_landmarks_outline():
    mask = base_mask(MaskInputs(_prediction(), _landmarks()), MaskMode.HULL)
    np.testing.assert_array_equal(mask, hull_mask(_landmarks(), MASK_SIZE, MASK_SIZE))


def test_a_mode_says_what_it_needs_and_refuses_to_go_without():
    bare = MaskInputs(_prediction(), _landmarks())
    extra = {MaskSource.XSEG_PRD, MaskSource.XSEG_DST, MaskSource.HOST}
    for mode in MaskMode:
        if extra & set(sources_of(mode)):
            with pytest.raises(ParameterError, match=f"{mode} needs a .*; give"):
                base_mask(bare, mode)
        else:
            assert base_mask(bare, mode).max() > 0.4


@lru_cache
def _soft_oval(size: int, height: float) -> np.ndarray:
    """(size, size) as a network of that resolution would draw one and the same soft oval."""
    fine = 3
    y, x = (np.mgrid[0 : fine * size, 0 : fine * size] + 0.5) / (fine * size) - 0.5
    oval = 1 / (1 + np.exp((np.hypot(x / 0.3, y / height) - 1) / 0.05))
    area = oval.reshape(size, fine, size, fine).mean(axis=(1, 3))
    return area.astype(np.float32)


@pytest.mark.parametrize("size", [64, 128, 320])
@pytest.mark.parametrize("mode", list(MaskMode))
def test_a_mask_is_the_same_for_every_model_resolution(size, mode):
    params = MergeParams(mask_mode=mode, erode=40, blur=60, feather_bottom=100, feather_left=30)
    masks = []
    for side in (size, 256):
        face = np.zeros((side, side, 3), np.float32)
        prediction = Prediction(face, _soft_oval(side, 0.4), _soft_oval(side, 0.35))
        given = [_soft_oval(n, 0.38) for n in (side, 256, MASK_SIZE)]
        masks.append(face_mask(MaskInputs(prediction, _landmarks(), *given), params))
    assert masks[0].shape == masks[1].shape == (MASK_SIZE, MASK_SIZE)
    assert np.abs(masks[0] - masks[1]).max() < 0.04
    assert masks[0].max() > 0.9


@pytest.mark.parametrize("blur", [20.0, 100.0, 400.0])
def test_a_blurred_full_mask_fades_out_inside_the_square(blur):
    mask = face_mask(_inputs(), MergeParams(mask_mode=MaskMode.FULL, blur=blur))
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert border.max() == 0
    assert mask[MASK_SIZE // 2, MASK_SIZE // 2] > 0.9
    assert np.abs(np.diff(mask[MASK_SIZE // 2])).max() < 1.5 / (blur / 1000 * MASK_SIZE * 0.376)


def test_shaping_changes_nothing_where_nothing_is_asked_and_never_its_input():
    base = cv2.GaussianBlur(base_mask(_inputs(), MaskMode.HULL), (0, 0), 4)
    kept = base.copy()
    plain = shape_mask(base, MergeParams())
    np.testing.assert_array_equal(plain, np.where(base > LEAST, base, 0))
    shape_mask(base, MergeParams(erode=-30, blur=30, feather_top=50))
    np.testing.assert_array_equal(base, kept)
    assert not np.shares_memory(plain, base)


def test_what_an_8_bit_matte_could_not_show_is_zero():
    size = 64
    faint = Prediction(
        np.zeros((size, size, 3), np.float32),
        np.full((size, size), 0.003, np.float32),
        np.ones((size, size), np.float32),
    )
    params = MergeParams(mask_mode=MaskMode.LEARNED_PRD, erode=-100, blur=50)
    assert face_mask(MaskInputs(faint, _landmarks()), params).max() == 0
