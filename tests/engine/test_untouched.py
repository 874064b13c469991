"""Bit-identity outside the matte, whatever the mode, the values, the size, the kind of pixels."""

from fractions import Fraction

import numpy as np
import pytest

from facegraft.controls import controls_of
from facegraft.inference import SwapModel
from facegraft.media.source import Frame
from facegraft.media.working_space import DISPLAY, open_space
from facegraft.merge.out.merged import merge_whole
from facegraft.merge.params import ColorTransfer, MaskMode, MergeMode, MergeParams
from tests.drawn_faces import face_at
from tests.engine.exr_files import bits
from tests.engine.merge_clips import oval_mask
from tests.engine.tiny_dfm import write_dfm

# rows that the test chooses itself, or that ask for a network that it has not
OWN = {"mode", "mask_mode", "super_resolution", "mix", "face_type", "color_transfer"}
MASKS = (
    MaskMode.FULL, MaskMode.HULL, MaskMode.LEARNED_PRD, MaskMode.LEARNED_DST,
    MaskMode.LEARNED_PRODUCT, MaskMode.LEARNED_SUM,
)  # fmt: skip
# the quick ones; what a transfer computes does not decide where it goes
TRANSFERS = (ColorTransfer.NONE, ColorTransfer.RCT, ColorTransfer.LCT, ColorTransfer.MKL)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SwapModel:
    path = tmp_path_factory.mktemp("model") / "tint.dfm"
    return SwapModel.open(write_dfm(path, 32, (0.5, 0.8, 1), (0, 0.2, 0), oval_mask(32), 1.0))


def random_params(mode: MergeMode, rng: np.random.Generator) -> MergeParams:
    """Any value of every row's slider."""
    values = {"mode": mode, "mask_mode": MASKS[rng.integers(len(MASKS))]}
    values["color_transfer"] = TRANSFERS[rng.integers(len(TRANSFERS))]
    values["mix"] = float(rng.uniform(0.2, 1))
    for row in controls_of(MergeParams):
        if row.name in OWN:
            continue
        if row.choices:
            values[row.name] = row.parse(row.choices[rng.integers(len(row.choices))])
        elif row.type is bool:
            values[row.name] = bool(rng.integers(2))
        elif row.slider is not None:
            low, high = row.slider
            values[row.name] = row.type(rng.uniform(low, high))
    return MergeParams(**values)


def random_frame(kind: str, rng: np.random.Generator) -> Frame:
    width, height = (int(n) for n in rng.integers(70, 120, 2))
    noise = rng.random((height, width, 3))
    if kind in ("uint8", "uint16"):
        pixels, space = (noise * np.iinfo(kind).max).astype(kind), DISPLAY
    else:
        pixels, space = (noise * 20 - 2).astype(np.float32), open_space(kind)
        pixels[rng.integers(height, size=20), rng.integers(width, size=20)] = np.nan
        pixels[rng.integers(height, size=20), rng.integers(width, size=20)] = np.inf
        pixels[0, 0], pixels[-1, -1] = -np.inf, 1e9
    return Frame(pixels, 0, Fraction(0), "a", None, space)


@pytest.mark.parametrize("mode", MergeMode)
@pytest.mark.parametrize("kind", ["uint8", "uint16", "acescg"])
def test_a_pixel_whose_matte_is_0_keeps_its_bits_and_no_other_becomes_nan(model, mode, kind):
    rng = np.random.default_rng([list(MergeMode).index(mode), len(kind)])
    changed = 0
    for _ in range(2):
        frame, params = random_frame(kind, rng), random_params(mode, rng)
        height, width = frame.pixels.shape[:2]
        faces = [
            face_at(rng.uniform(0, width), rng.uniform(0, height), rng.uniform(25, 60))
            for _ in range(2)
        ]
        before = frame.pixels.copy()
        merged = merge_whole(frame, faces, model, params)
        np.testing.assert_array_equal(bits(frame.pixels), bits(before))
        outside = merged.matte == 0
        np.testing.assert_array_equal(bits(merged.pixels)[outside], bits(before)[outside])
        assert merged.pixels.dtype == before.dtype and merged.matte.dtype == before.dtype
        if mode is MergeMode.ORIGINAL:
            np.testing.assert_array_equal(bits(merged.pixels), bits(before))
        else:
            assert np.isfinite(merged.pixels[~outside]).all(), params
        changed += int((~outside).sum())
    assert changed > 0
