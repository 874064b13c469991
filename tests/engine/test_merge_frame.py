"""merge_frame with real ONNX models whose answer is known in closed form."""

from dataclasses import replace
from itertools import product

import cv2
import numpy as np
import pytest

from facegraft.faces.face import Face
from facegraft.faces.landmarks import MEAN_FACE
from facegraft.inference import SwapModel
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.frame import framing, merge_frame, predict_faces, reach
from facegraft.merge.params import (
    ColorTransfer,
    FaceFraming,
    MaskMode,
    MergeMode,
    MergeParams,
)
from facegraft.model_spec import FaceType, ModelSpec
from tests.engine.tiny_dfm import write_dfm

PLAIN = MergeParams(color_transfer=ColorTransfer.NONE)


def make_face(x: float, y: float, size: float, angle: float = 0.1) -> Face:
    """A mean face whose brows-to-chin box is `size` px wide, with its centre at x, y."""
    points = np.zeros((68, 2))
    points[17:] = MEAN_FACE
    jaw = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([0.5 + 0.6 * np.cos(jaw), 0.3 + 0.75 * np.sin(jaw)], axis=-1)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = ((points - 0.5) * size) @ turn + (x, y)
    points = points.astype(np.float32)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return Face(points, (float(x0), float(y0), float(x1), float(y1)), 1.0)


def make_image(height: int = 240, width: int = 320, grain: float = 6.0) -> np.ndarray:
    """(H, W, 3) float32 soft noise in 0.2..0.8: nothing that resampling would lose."""
    noise = np.random.default_rng(3).normal(size=(height, width, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), grain)
    return (0.2 + 0.6 * (noise - noise.min()) / np.ptp(noise)).astype(np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, SwapModel]:
    folder = tmp_path_factory.mktemp("models")
    oval = np.zeros((96, 96), np.float32)
    cv2.ellipse(oval, (48, 50), (26, 34), 0, 0, 360, (1.0,), -1)
    oval = cv2.GaussianBlur(oval, (0, 0), 1.5)
    made = {
        "identity": write_dfm(folder / "identity.dfm", 128),
        "tint": write_dfm(folder / "tint.dfm", 96, (0.6, 0.9, 1), (0.3, 0, -0.1), oval, oval),
        "white": write_dfm(folder / "white.dfm", 64, (0, 0, 0), (1, 1, 1)),
    }
    return {name: SwapModel.open(path) for name, path in made.items()}


FACE = make_face(150, 110, 60)


def test_identity_with_a_full_mask_gives_the_frame_inside_and_exactly_outside(models):
    image = make_image()
    merged = merge_frame(image, [FACE], models["identity"], replace(PLAIN, mask_mode=MaskMode.FULL))
    assert (merged.matte == 1).mean() > 0.1
    assert np.abs(merged.result - image).max() < 0.01
    np.testing.assert_array_equal(merged.result[merged.matte == 0], image[merged.matte == 0])
    assert (merged.result != image).any()


def test_a_full_square_of_a_known_colour_lands_where_the_alignment_says(models):
    image = make_image()
    merged = merge_frame(image, [FACE], models["white"], replace(PLAIN, mask_mode=MaskMode.FULL))
    np.testing.assert_allclose(merged.result[merged.matte == 1], 1, atol=1e-6)
    np.testing.assert_allclose(
        merged.result, image * (1 - merged.matte[..., None]) + merged.matte[..., None], atol=1e-6
    )


@pytest.mark.parametrize(("mode", "color"), list(product(MergeMode, ColorTransfer)))
@pytest.mark.parametrize("mask_mode", list(MaskMode))
def test_every_pixel_with_matte_0_is_bit_identical_in_every_mode(models, mode, color, mask_mode):
    image = make_image()
    image[::7, ::5] = (7.5, -0.25, 3)  # a plate holds more than 0..1
    image[5, 5] = (np.inf, np.nan, -np.inf)
    params = MergeParams(
        mode=mode, color_transfer=color, mask_mode=mask_mode, erode=40, blur=60, mix=0.7
    )
    merged = merge_frame(image, [FACE], models["tint"], params)
    outside = merged.matte == 0
    np.testing.assert_array_equal(
        merged.result[outside].view(np.uint32), image[outside].view(np.uint32)
    )
    assert 0 < merged.matte.max() <= np.float32(0.7)
    changed = (merged.result != image)[~outside].any()
    assert changed == (mode is not MergeMode.ORIGINAL)


@pytest.mark.parametrize("scale", [-30.0, 0.0, 50.0])
def test_a_merge_reads_and_writes_its_reach_only(models, scale):
    image = make_image()
    faces = [FACE, make_face(190, 130, 40)]
    params = MergeParams(face_scale=scale, mask_mode=MaskMode.FULL)
    whole = merge_frame(image, faces, models["tint"], params)
    x0, y0, x1, y1 = reach(faces, models["tint"], params, image.shape)
    shown = np.count_nonzero(whole.matte)
    assert np.count_nonzero(whole.matte[y0:y1, x0:x1]) == shown > 0
    x2, y2, x3, y3 = whole.roi or (0, 0, 0, 0)
    assert x0 <= x2 < x3 <= x1 and y0 <= y2 < y3 <= y1
    assert np.count_nonzero(whole.matte[y2:y3, x2:x3]) == shown
    holes = np.full_like(image, np.nan)
    holes[y0:y1, x0:x1] = image[y0:y1, x0:x1]
    patchy = merge_frame(holes, faces, models["tint"], params)
    np.testing.assert_array_equal(patchy.result[y0:y1, x0:x1], whole.result[y0:y1, x0:x1])


def test_the_reach_of_no_face_is_empty(models):
    assert reach([], models["tint"], MergeParams(), (240, 320, 3)) == (0, 0, 0, 0)
    outside = [make_face(-500, 110, 60)]
    assert reach(outside, models["tint"], MergeParams(), (240, 320, 3)) == (0, 0, 0, 0)


def test_mix_is_linear_in_result_and_matte_and_0_is_the_input(models):
    image = make_image()
    for mode in MergeMode:
        whole, half, none = (
            merge_frame(image, [FACE], models["tint"], MergeParams(mode=mode, mix=mix))
            for mix in (1.0, 0.5, 0.0)
        )
        np.testing.assert_allclose(half.result, (whole.result + image) / 2, atol=1e-6)
        np.testing.assert_allclose(half.matte, whole.matte / 2, atol=1e-6)
        np.testing.assert_array_equal(none.result, image)
        assert none.matte.max() == 0 and none.roi is None


def test_original_leaves_every_pixel_and_gives_overlays_matte(models):
    image = make_image()
    original = merge_frame(image, [FACE], models["tint"], MergeParams(mode=MergeMode.ORIGINAL))
    np.testing.assert_array_equal(original.result, image)
    overlay = merge_frame(image, [FACE], models["tint"], MergeParams())
    np.testing.assert_array_equal(original.matte, overlay.matte)


@pytest.mark.parametrize(("percent", "ratio"), [(20, 1.44), (50, 2.25), (-50, 0.25)])
def test_positive_face_scale_enlarges(models, percent, ratio):
    """DeepFaceLab's does the opposite."""
    image = make_image(400, 400)
    face = make_face(200, 200, 70)
    areas = [
        merge_frame(image, [face], models["tint"], replace(PLAIN, face_scale=value)).matte.sum()
        for value in (percent, 0)
    ]
    assert areas[0] / areas[1] == pytest.approx(ratio, rel=0.02)


def test_values_above_one_survive_where_the_matte_lets_the_frame_through(models):
    image = make_image()
    image[:] += 4
    merged = merge_frame(image, [FACE], models["tint"], replace(PLAIN, blur=100))
    partly = (merged.matte > 0) & (merged.matte < 0.5)
    assert partly.sum() > 100
    assert merged.result[partly].min() > 2
    solid = merged.matte == 1
    assert solid.any() and merged.result[solid].max() <= 1


def test_no_face_gives_the_frame_and_a_black_matte(models):
    image = make_image()
    merged = merge_frame(image, [], models["tint"], MergeParams())
    np.testing.assert_array_equal(merged.result, image)
    assert merged.result is not image
    assert merged.matte.shape == (240, 320) and merged.matte.max() == 0


def test_a_face_of_three_pixels_leaves_the_frame(models):
    image = make_image()
    merged = merge_frame(image, [make_face(100, 100, 1.5)], models["tint"], MergeParams())
    np.testing.assert_array_equal(merged.result, image)
    assert merged.matte.max() == 0


@pytest.mark.parametrize("mode", list(MergeMode))
@pytest.mark.parametrize("place", [(0, 110), (318, 110), (150, 0), (150, 240), (0, 0)])
def test_a_face_half_outside_the_frame_is_merged_up_to_the_border(models, mode, place):
    image = make_image()
    merged = merge_frame(
        image, [make_face(place[0], place[1], 60)], models["tint"], MergeParams(mode=mode)
    )
    assert merged.matte.max() == pytest.approx(1, abs=1e-3)
    assert np.isfinite(merged.result).all()
    border = np.concatenate(
        [merged.matte[0], merged.matte[-1], merged.matte[:, 0], merged.matte[:, -1]]
    )
    assert border.max() > 0.9


def test_a_face_outside_the_frame_changes_nothing(models):
    image = make_image()
    merged = merge_frame(image, [make_face(-500, 110, 60)], models["tint"], MergeParams())
    np.testing.assert_array_equal(merged.result, image)


def test_what_lies_past_the_border_does_not_shift_the_colour_transfer(models):
    """The identity keeps its colours under rct although half its square lies outside."""
    image = make_image()
    face = make_face(20, 110, 60)
    shifted = merge_frame(image, [face], models["identity"], MergeParams(mask_mode=MaskMode.FULL))
    assert np.abs(shifted.result - image).max() < 0.01


def test_two_faces_are_merged_apart_and_the_larger_lies_on_top(models):
    image = make_image()
    small, large = make_face(80, 120, 30), make_face(230, 120, 45)
    both = merge_frame(image, [large, small], models["tint"], PLAIN)
    for face, columns in ((small, np.s_[:, :140]), (large, np.s_[:, 160:])):
        alone = merge_frame(image, [face], models["tint"], PLAIN)
        np.testing.assert_array_equal(both.result[columns], alone.result[columns])
        np.testing.assert_array_equal(both.matte[columns], alone.matte[columns])
    near, front = make_face(150, 120, 30), make_face(165, 120, 60)
    for order in ([near, front], [front, near]):
        overlapping = merge_frame(image, order, models["tint"], PLAIN)
        alone = [merge_frame(image, [f], models["tint"], PLAIN) for f in (near, front)]
        union = 1 - (1 - alone[0].matte) * (1 - alone[1].matte)
        np.testing.assert_allclose(overlapping.matte, union, atol=1e-6)
        solid = alone[1].matte == 1
        np.testing.assert_array_equal(overlapping.result[solid], alone[1].result[solid])


def test_rct_brings_a_tinted_face_near_the_frames_colours(models):
    image = make_image()
    errors = [
        np.abs(merge_frame(image, [FACE], models["tint"], p).result - image).mean()
        for p in (PLAIN, MergeParams())
    ]
    assert errors[1] < 0.35 * errors[0]


def test_predictions_can_be_kept_while_parameters_change(models):
    image = make_image()
    (prediction,) = predict_faces(image, [FACE], models["tint"], MergeParams())
    extras = FrameExtras([FaceExtras(prediction=prediction)])
    for params in (MergeParams(erode=20), MergeParams(mode=MergeMode.SEAMLESS, face_scale=10)):
        kept = merge_frame(image, [FACE], models["tint"], params, extras)
        fresh = merge_frame(image, [FACE], models["tint"], params)
        np.testing.assert_array_equal(kept.result, fresh.result)


def test_face_type_comes_from_the_user_then_the_model_then_whole_face(models, tmp_path):
    spec = ModelSpec("df-ud", 64, FaceType.HALF, 64, 32, 32, 16)
    recorded = SwapModel.open(write_dfm(tmp_path / "half.dfm", 64, spec=spec))
    assert framing(recorded, MergeParams()) is FaceType.HALF
    assert framing(recorded, MergeParams(face_type=FaceFraming.HEAD)) is FaceType.HEAD
    assert framing(models["tint"], MergeParams()) is FaceType.WHOLE_FACE


def test_a_close_up_and_a_distant_face_keep_the_identitys_picture(models):
    """Both directions of resampling: a face far larger and far smaller than the model's square."""
    # blurred, since the square's outermost half pixel is made up
    params = replace(PLAIN, mask_mode=MaskMode.FULL, blur=30)
    for size, grain in ((260, 16), (14, 6)):
        image = make_image(700, 700, grain)
        face = make_face(350, 350, size)
        merged = merge_frame(image, [face], models["identity"], params)
        assert np.abs(merged.result - image).max() < 0.01
