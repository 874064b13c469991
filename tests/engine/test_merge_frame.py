"""merge_frame with real ONNX models whose answer is known in closed form."""

from dataclasses import replace

import numpy as np
import pytest

from facegraft.controls import controls_of
from facegraft.inference import SwapModel
from facegraft.media.hdr import carry_highlights
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
from tests.engine.merge_frames import (
    inverting_enhancer,
    make_face,
    make_image,
    red_segmenter,
    write_models,
)
from tests.engine.tiny_dfm import write_dfm

PLAIN = MergeParams(color_transfer=ColorTransfer.NONE)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, SwapModel]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> FrameExtras:
    """A segmenter and an enhancer."""
    folder = tmp_path_factory.mktemp("networks")
    return FrameExtras(segmenter=red_segmenter(folder), enhancer=inverting_enhancer(folder))


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


def random_params(random: np.random.Generator) -> MergeParams:
    """Any value of any row that a frame alone can be merged with."""
    values = {}
    for row in controls_of(MergeParams):
        low, high = row.slider or (0, 1)
        if row.choices:
            values[row.name] = row.parse(str(random.choice(row.choices)))
        elif row.type is bool:
            values[row.name] = bool(random.integers(2))
        elif row.type is int or random.integers(2):
            values[row.name] = row.parse(int(random.integers(int(low), int(high) + 1)))
        else:
            values[row.name] = float(random.uniform(low, high))
    return MergeParams(**values)


@pytest.mark.parametrize("seed", range(32))
def test_every_pixel_with_matte_0_keeps_its_bits_whatever_the_rows_say(models, networks, seed):
    """And nothing that is no number gets in; faces may be tiny, huge, or half outside."""
    random = np.random.default_rng(seed)
    height, width = (int(side) for side in random.integers(24, 260, 2))
    image = make_image(height, width)
    if seed % 2:
        image[::7, ::5] = (7.5, -0.25, 3)  # a plate holds more than 0..1
        image[1::9, ::4] = -0.0
    faces = [
        make_face(
            random.uniform(0, width), random.uniform(0, height),
            float(np.exp(random.uniform(np.log(3), np.log(400)))), random.uniform(-2, 2),
        )
        for _ in range(int(random.integers(1, 4)))
    ]  # fmt: skip
    extras = replace(
        networks,
        faces=[FaceExtras(motion=random.normal(0, 20, 2)) for _ in faces],
        host_matte=make_image(height, width)[..., 0],
        seed=seed,
    )
    params = random_params(random)
    before = image.copy()
    merged = merge_frame(image, faces, models["tint"], params, extras)
    np.testing.assert_array_equal(image.view(np.uint32), before.view(np.uint32))
    outside = merged.matte == 0
    np.testing.assert_array_equal(
        merged.result[outside].view(np.uint32), image[outside].view(np.uint32)
    )
    assert np.isfinite(merged.result).all() and np.isfinite(merged.matte).all()
    assert merged.matte.min() >= 0 and merged.matte.max() <= 1


@pytest.mark.parametrize("mode", list(MergeMode))
def test_broken_pixels_stay_outside_the_matte_and_count_as_black_or_bright_inside(models, mode):
    image = make_image()
    image[::7, ::5] = (np.inf, np.nan, -np.inf)
    params = MergeParams(mode=mode, erode=40, blur=60, mix=0.7)
    merged = merge_frame(image, [FACE], models["tint"], params)
    outside = merged.matte == 0
    np.testing.assert_array_equal(
        merged.result[outside].view(np.uint32), image[outside].view(np.uint32)
    )
    if mode is not MergeMode.ORIGINAL:
        assert np.isfinite(merged.result[~outside]).all()


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


def test_highlights_come_back_into_a_bright_face_and_not_into_a_dark_one(models):
    """By the rule of media/hdr.py; without highlights in the plate the face stays within 0..1."""
    image = make_image()
    image[:] += 4
    merged = merge_frame(image, [FACE], models["white"], replace(PLAIN, mask_mode=MaskMode.FULL))
    solid = merged.matte == 1
    np.testing.assert_allclose(
        merged.result[solid], carry_highlights(np.ones_like(image), image)[solid], rtol=1e-5
    )
    assert merged.result[solid].max() > 2
    dark = merge_frame(image, [FACE], models["dark"], replace(PLAIN, mask_mode=MaskMode.FULL))
    np.testing.assert_allclose(dark.result[solid], 0.25, atol=1e-5)


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


@pytest.mark.parametrize("mix", [0.3, 0.8])
def test_grain_is_the_same_whatever_share_of_the_face_shows(models, mix):
    clean, noise = make_image(), np.random.default_rng(8).normal(size=(240, 320, 3))
    image = (clean + 0.02 * noise).astype(np.float32)
    params = replace(PLAIN, mask_mode=MaskMode.FULL, grain=1.0)
    whole = merge_frame(image, [FACE], models["identity"], params)
    part = merge_frame(image, [FACE], models["identity"], replace(params, mix=mix))
    np.testing.assert_allclose(part.result, image + mix * (whole.result - image), atol=1e-6)
