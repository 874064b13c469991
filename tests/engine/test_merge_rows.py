"""Every row of MergeParams does what its help says, alone and in the stated order."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from facegraft.controls import controls_of, parse_values
from facegraft.errors import ParameterError
from facegraft.faces.align import align_matrix, invert, square_corners, warp_image
from facegraft.inference import Prediction, SwapModel
from facegraft.merge.color.histogram import match_histogram
from facegraft.merge.color.light import match_light
from facegraft.merge.color.maps import AffineMap
from facegraft.merge.color.transfer import counted, fit_transfer
from facegraft.merge.detail.degrade import bicubic_degrade, color_degrade, denoise
from facegraft.merge.detail.motion import motion_blur
from facegraft.merge.detail.sharpen import sharpen
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.frame import fit_faces, merge_frame, predict_faces, reach
from facegraft.merge.mask.face_mask import MASK_SIZE
from facegraft.merge.params import ColorTransfer, MaskMode, MergeMode, MergeParams, Sharpen
from facegraft.model_spec import FaceType
from tests.engine.merge_frames import (
    inverting_enhancer,
    make_face,
    make_image,
    red_segmenter,
    write_models,
)

FACE = make_face(150, 110, 60)
PLAIN = MergeParams(color_transfer=ColorTransfer.NONE)
FULL = replace(PLAIN, mask_mode=MaskMode.FULL)

# a value of each row at which it must show, and what else must be so that it can
SHOWN: dict[str, tuple[Any, dict[str, Any]]] = {
    "mix": (0.5, {}),
    "mode": (MergeMode.SEAMLESS, {}),
    "hist_match_masked": (False, {"mode": MergeMode.HIST_MATCH}),
    "hist_match_threshold": (150, {"mode": MergeMode.SEAMLESS_HIST_MATCH}),
    "face_scale": (10.0, {}),
    "face_offset_x": (40.0, {}),
    "face_offset_y": (-40.0, {}),
    "face_rotation": (12.0, {}),
    "color_transfer": (ColorTransfer.MKL, {}),
    "color_transfer_amount": (0.5, {}),
    "light_match": (0.8, {}),
    "light_size": (30.0, {"light_match": 1.0}),
    "mask_mode": (MaskMode.HULL, {}),
    "erode": (30.0, {}),
    "blur": (150.0, {}),
    "feather_top": (80.0, {}),
    "feather_bottom": (80.0, {}),
    "feather_left": (80.0, {}),
    "feather_right": (80.0, {}),
    "super_resolution": (60.0, {}),
    "sharpen_mode": (Sharpen.BOX, {"sharpen_amount": 2.0}),
    "sharpen_amount": (2.0, {"sharpen_mode": Sharpen.GAUSSIAN}),
    "denoise": (150.0, {}),
    "bicubic_degrade": (70.0, {}),
    "color_degrade": (100.0, {}),
    "motion_blur": (100.0, {}),
    "grain": (1.0, {}),
    "face_type": ("half", {}),
    "morph_value": (0.2, {}),
}
# what a frame alone cannot show: averages over a clip, which come in as extras, see below
CLIP_ONLY = {"smooth_color", "smooth_mask"}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, SwapModel]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> FrameExtras:
    """A segmenter, an enhancer, a matte, and a face that moves."""
    folder = tmp_path_factory.mktemp("networks")
    return FrameExtras(
        faces=[FaceExtras(motion=np.array([9.0, 4.0]))],
        segmenter=red_segmenter(folder),
        enhancer=inverting_enhancer(folder),
        host_matte=make_image()[..., 0],
        seed=3,
    )


def noisy_image() -> np.ndarray:
    """Fine detail and grain, for the filters to work on."""
    noise = np.random.default_rng(4).normal(0, 0.03, (240, 320, 3)).astype(np.float32)
    return np.clip(make_image(grain=2.5) + noise, 0, 1)


class MorphModel(SwapModel):
    """The tint model with a morph that fades it to the identity: a graph of its own would do no
    other arithmetic."""

    def __init__(self, model: SwapModel) -> None:
        self._model = model
        self.resolution, self.spec, self.digest = model.resolution, model.spec, model.digest
        self.has_morph = True

    def predict(self, aligned: np.ndarray, morph_value: float = 0.75) -> Prediction:
        found = self._model.predict(aligned)
        mixed = aligned + np.float32(morph_value) * (found.face - aligned)
        return replace(found, face=mixed)


def test_the_tests_know_every_row():
    assert set(SHOWN) | CLIP_ONLY == {row.name for row in controls_of(MergeParams)}


@pytest.mark.parametrize("name", SHOWN)
def test_no_row_is_ignored(models, networks, name):
    value, needs = SHOWN[name]
    row = next(row for row in controls_of(MergeParams) if row.name == name)
    base = MergeParams(**needs)
    changed = replace(base, **{name: row.parse(value)})
    model = MorphModel(models["tint"])
    image = noisy_image()
    before, after = (merge_frame(image, [FACE], model, p, networks) for p in (base, changed))
    shown = np.abs(after.result - before.result).max()
    assert shown > 0.01, f"{name} changes the picture by {shown:.4f} at most"


def given_face(models, change: Callable[[np.ndarray], np.ndarray], image: np.ndarray, params):
    """The merge of a prediction whose face somebody else changed beforehand."""
    (prediction,) = predict_faces(image, [FACE], models["tint"], params)
    face = np.clip(change(prediction.face), 0, 1).astype(np.float32)
    extras = FrameExtras([FaceExtras(prediction=replace(prediction, face=face))])
    return merge_frame(image, [FACE], models["tint"], params, extras).result


FILTERS: dict[str, tuple[dict[str, Any], Callable[[np.ndarray], np.ndarray]]] = {
    "box": (
        {"sharpen_mode": Sharpen.BOX, "sharpen_amount": 1.5},
        lambda x: sharpen(x, Sharpen.BOX, 1.5),
    ),
    "gaussian": (
        {"sharpen_mode": Sharpen.GAUSSIAN, "sharpen_amount": -14.0},
        lambda x: sharpen(x, Sharpen.GAUSSIAN, -14.0),
    ),
    "denoise": ({"denoise": 130.0}, lambda x: denoise(x, 130.0)),
    "bicubic": ({"bicubic_degrade": 60.0}, lambda x: bicubic_degrade(x, 60.0)),
    "color": ({"color_degrade": 80.0}, lambda x: color_degrade(x, 80.0)),
    "all, in order": (
        {
            "sharpen_mode": Sharpen.BOX, "sharpen_amount": 1.0, "denoise": 60.0,
            "bicubic_degrade": 40.0, "color_degrade": 100.0,
        },
        lambda x: color_degrade(
            bicubic_degrade(denoise(sharpen(x, Sharpen.BOX, 1.0), 60.0), 40.0), 100.0
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_acts_on_the_face_in_its_square(models, name):
    """The same picture as of a network whose answer was filtered; the frame around stays."""
    rows, function = FILTERS[name]
    image = noisy_image()
    merged = merge_frame(image, [FACE], models["tint"], replace(PLAIN, **rows))
    np.testing.assert_allclose(merged.result, given_face(models, function, image, PLAIN), atol=1e-6)


@pytest.mark.parametrize("kind", list(ColorTransfer))
def test_a_transfer_fits_the_predicted_face_to_the_frame_s_own(models, kind):
    """Laid on the frame's square by the mask before its edges are made; the amount, which comes
    last, goes a share of the way, and 0 changes no bit."""
    image = make_image()
    matrix = align_matrix(FACE.landmarks, FaceType.WHOLE_FACE, 96)
    own = warp_image(image, matrix, 96, 96, border=cv2.BORDER_REPLICATE)
    (fit,) = fit_faces(image, [FACE], models["tint"], MergeParams(color_transfer=kind))
    mask = cv2.resize(fit.mask, (96, 96), interpolation=cv2.INTER_AREA)
    weights = counted(kind, mask, np.ones((96, 96), np.float32))
    edged = replace(PLAIN, erode=30.0, blur=50.0)
    params = replace(edged, color_transfer=kind, color_transfer_amount=0.7)
    merged = merge_frame(image, [FACE], models["tint"], params).result

    def transferred(face: np.ndarray) -> np.ndarray:
        color_map = fit_transfer(kind, own + mask[..., None] * (face - own), own, weights)
        return face + np.float32(0.7) * (color_map.apply(face) - face)

    expected = given_face(models, transferred, image, edged)
    np.testing.assert_allclose(merged, expected, atol=1e-5)
    none = merge_frame(image, [FACE], models["tint"], replace(params, color_transfer_amount=0.0))
    plain = merge_frame(image, [FACE], models["tint"], edged)
    np.testing.assert_array_equal(none.result, plain.result)
    assert (kind is ColorTransfer.NONE) == np.allclose(
        merged,
        merge_frame(image, [FACE], models["tint"], edged).result,
        atol=1e-3,
    )


@pytest.mark.parametrize("masked", [True, False])
def test_hist_match_follows_the_transfer_and_light_match_comes_last(models, masked):
    image = make_image()
    matrix = align_matrix(FACE.landmarks, FaceType.WHOLE_FACE, 96)
    own = warp_image(image, matrix, 96, 96, border=cv2.BORDER_REPLICATE)
    (fit,) = fit_faces(image, [FACE], models["tint"], MergeParams())
    mask = cv2.resize(fit.mask, (96, 96), interpolation=cv2.INTER_AREA)
    counted_pixels = mask if masked else np.ones_like(mask)
    params = MergeParams(
        mode=MergeMode.HIST_MATCH, hist_match_masked=masked, hist_match_threshold=200,
        light_match=0.6, light_size=60.0,
    )  # fmt: skip
    merged = merge_frame(image, [FACE], models["tint"], params).result

    def by_hand(face: np.ndarray) -> np.ndarray:
        face = fit.color_map.apply(face)
        if not masked:
            face = own + mask[..., None] * (face - own)
        face = match_histogram(face, own, counted_pixels, 200)
        return match_light(face, own, mask, 0.6, 0.06 * 96)

    np.testing.assert_allclose(merged, given_face(models, by_hand, image, PLAIN), atol=2e-5)


@pytest.mark.parametrize("angle", [0.0, 1.2])
def test_motion_blurs_along_the_way_in_the_frame_however_the_face_is_turned(models, angle):
    """On the identity with a full mask it is the frame's own motion blur. DeepFaceLab blurs along
    the frame's direction inside the turned square."""
    image = make_image(grain=3.0)
    face = make_face(160, 120, 45, angle)
    way = np.array([14.0, 6.0])
    extras = FrameExtras([FaceExtras(motion=way)])
    params = replace(FULL, motion_blur=80.0)
    merged = merge_frame(image, [face], models["identity"], params, extras).result
    expected = motion_blur(image, way, 80.0)
    inside = np.s_[105:135, 145:175]
    assert np.abs(merged - expected)[inside].max() < 0.02
    assert np.abs(image - expected)[inside].max() > 0.06
    still = merge_frame(image, [face], models["identity"], params)
    np.testing.assert_array_equal(
        still.result, merge_frame(image, [face], models["identity"], FULL).result
    )


def square_matte(face, params: MergeParams) -> np.ndarray:
    """(240, 320) where the pasted square lies, drawn as a polygon by hand."""
    corners = square_corners(align_matrix(face.landmarks, FaceType.WHOLE_FACE, 1), 1)
    side = np.linalg.norm(corners[1] - corners[0])
    across, down = (corners[1] - corners[0]) / side, (corners[3] - corners[0]) / side
    center = corners.mean(axis=0)
    moved = center + (across * params.face_offset_x + down * params.face_offset_y) * side / 1000
    angle = np.radians(params.face_rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    placed = (corners - center) @ turn.T * (1 + params.face_scale / 100) + moved
    drawn = np.zeros((240 * 8, 320 * 8), np.uint8)
    cv2.fillConvexPoly(drawn, np.round((placed * 8 - 0.5) * 16).astype(np.int32), 1, shift=4)
    return cv2.resize(drawn.astype(np.float32), (320, 240), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(
    "rows",
    [
        {"face_scale": 30.0},
        {"face_offset_x": 120.0},
        {"face_offset_y": -90.0},
        {"face_rotation": 25.0},
        {"face_scale": -20.0, "face_offset_x": 60.0, "face_offset_y": 30.0, "face_rotation": -40.0},
    ],
)
@pytest.mark.parametrize("mode", [MergeMode.OVERLAY, MergeMode.RAW_RGB])
def test_the_square_lies_where_scale_offset_and_rotation_put_it(models, mode, rows):
    """Positive enlarges, offsets go along the face's own axes, positive angles turn clockwise."""
    face = make_face(150, 120, 35, 0.5)
    params = replace(FULL, mode=mode, **rows)
    merged = merge_frame(make_image(), [face], models["white"], params)
    expected = square_matte(face, params)
    assert np.abs(merged.matte - expected).sum() / expected.sum() < 0.02
    solid = merged.matte == 1
    np.testing.assert_allclose(merged.result[solid], 1, atol=1e-5)


def test_raw_rgb_pastes_the_whole_square_as_the_network_gave_it(models):
    """No mask, no edges, no colour: what overlay with a full mask and no transfer gives."""
    image = make_image()
    raw = MergeParams(mode=MergeMode.RAW_RGB, erode=90, blur=90, grain=1, denoise=200)
    merged = merge_frame(image, [FACE], models["tint"], raw)
    plain = merge_frame(image, [FACE], models["tint"], FULL)
    np.testing.assert_array_equal(merged.result, plain.result)
    np.testing.assert_array_equal(merged.matte, plain.matte)


def test_raw_predict_shows_the_squares_upright_in_a_row_that_fits_the_frame(models):
    """From left to right; the matte is the row."""
    image = make_image()
    faces = [make_face(220, 110, 50), make_face(80, 120, 30)]
    params = MergeParams(mode=MergeMode.RAW_PREDICT, mix=0.5)
    merged = merge_frame(image, faces, models["tint"], params)
    predictions = predict_faces(image, faces, models["tint"], params)
    row = np.concatenate(
        [cv2.resize(p.face, (160, 160), interpolation=cv2.INTER_CUBIC) for p in predictions[::-1]],
        axis=1,
    ).clip(0, 1)
    np.testing.assert_allclose(merged.result[40:200], (image[40:200] + row) / 2, atol=1e-6)
    np.testing.assert_array_equal(merged.matte[40:200], 0.5)
    np.testing.assert_array_equal(merged.result[:40], image[:40])
    assert merged.matte[:40].max() == merged.matte[200:].max() == 0
    assert reach(faces, models["tint"], params, image.shape) == (0, 0, 320, 240)


def test_super_resolution_mixes_the_enhancer_s_picture_in(models, networks):
    """The enhancer inverts: half of it is grey, all of it the negative."""
    image = make_image()
    own = merge_frame(image, [FACE], models["identity"], FULL).result
    solid = merge_frame(image, [FACE], models["identity"], FULL).matte == 1
    for power, expected in ((50.0, np.full_like(own, 0.5)), (100.0, 1 - own)):
        params = replace(FULL, super_resolution=power)
        merged = merge_frame(image, [FACE], models["identity"], params, networks).result
        assert np.abs(merged - expected)[solid].max() < 0.02


def test_grain_is_the_frame_s_own_and_the_same_for_any_crop_around_the_face(models):
    image = noisy_image()
    params = replace(FULL, grain=1.0)
    model = models["dark"]
    whole = merge_frame(image, [FACE], model, params, FrameExtras(seed=7))
    plain = merge_frame(image, [FACE], model, FULL)
    solid = plain.matte == 1
    spread = (whole.result - plain.result)[solid].std()
    assert 0.02 < spread < 0.04  # the image has 0.03
    x0, y0, x1, y1 = reach([FACE], model, params, image.shape)
    moved = replace(FACE, landmarks=FACE.landmarks - np.array([x0, y0], np.float32))
    part = merge_frame(image[y0:y1, x0:x1], [moved], model, params, FrameExtras(seed=7))
    np.testing.assert_allclose(part.result, whole.result[y0:y1, x0:x1], atol=2e-3)
    other = merge_frame(image, [FACE], model, params, FrameExtras(seed=8))
    assert np.abs(other.result - whole.result).max() > 0.02


def test_the_host_s_matte_stays_where_it_was_drawn(models, networks):
    """Also while the face is moved, scaled and turned."""
    matte = np.zeros((240, 320), np.float32)
    cv2.circle(matte, (150, 110), 40, (1.0,), -1)
    extras = replace(networks, host_matte=matte)
    for rows in ({}, {"face_scale": 20.0, "face_offset_x": 30.0, "face_rotation": 15.0}):
        params = replace(PLAIN, mask_mode=MaskMode.HOST, **rows)
        merged = merge_frame(make_image(), [FACE], models["white"], params, extras)
        assert np.abs(merged.matte - matte).mean() < 0.003


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"mask_mode": MaskMode.XSEG_PRD}, "segmentation model"),
        ({"mask_mode": MaskMode.XSEG_DST}, "segmentation model"),
        ({"mask_mode": MaskMode.XSEG_PRODUCT}, "segmentation model"),
        ({"mask_mode": MaskMode.ALL_PRODUCT}, "segmentation model"),
        ({"mask_mode": MaskMode.HOST}, "matte"),
        ({"super_resolution": 10.0}, "super_resolution is 10 percent and no enhancer"),
    ],
)
def test_what_needs_more_than_the_frame_is_refused_with_the_next_step(models, rows, words):
    with pytest.raises(ParameterError, match=words):
        merge_frame(make_image(), [FACE], models["tint"], MergeParams(**rows))


def test_a_steady_colour_and_a_steady_mask_replace_the_frame_s_own(models):
    """What smooth_color and smooth_mask average over a clip comes in as extras."""
    image = make_image()
    (fit,) = fit_faces(image, [FACE], models["tint"], MergeParams())
    same = FrameExtras([FaceExtras(color_map=fit.color_map, mask=fit.mask)])
    own = merge_frame(image, [FACE], models["tint"], MergeParams())
    given = merge_frame(image, [FACE], models["tint"], MergeParams(), same)
    np.testing.assert_array_equal(given.result, own.result)

    blue = AffineMap(np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1.0]]))
    mask = np.zeros((MASK_SIZE, MASK_SIZE), np.float32)
    mask[128:384, 128:384] = 1
    other = FrameExtras([FaceExtras(color_map=blue, mask=mask)])
    merged = merge_frame(image, [FACE], models["tint"], MergeParams(), other)
    np.testing.assert_allclose(
        merged.result[merged.matte == 1], [[0, 0, 1]] * int((merged.matte == 1).sum()), atol=1e-5
    )
    corners = square_corners(align_matrix(FACE.landmarks, FaceType.WHOLE_FACE, 1), 1)
    whole = np.linalg.norm(corners[1] - corners[0]) ** 2
    assert merged.matte.sum() == pytest.approx(whole / 4, rel=0.02)


def test_each_face_can_have_its_own_model_and_params(models):
    """One pass over a scene with two actors gives what two passes give."""
    image = make_image()
    left, right = make_face(80, 120, 35), make_face(240, 120, 35)
    extras = FrameExtras(
        [FaceExtras(), FaceExtras(model=models["dark"], params=replace(FULL, mix=0.5))]
    )
    both = merge_frame(image, [left, right], models["white"], FULL, extras)
    one = merge_frame(image, [left], models["white"], FULL)
    two = merge_frame(image, [right], models["dark"], replace(FULL, mix=0.5))
    np.testing.assert_array_equal(both.result[:, :160], one.result[:, :160])
    np.testing.assert_array_equal(both.result[:, 160:], two.result[:, 160:])
    assert [f.face for f in both.faces] == [left, right]
    with pytest.raises(ParameterError, match="3 faces"):
        merge_frame(image, [left], models["white"], FULL, FrameExtras([FaceExtras()] * 3))


def test_what_became_of_a_face_is_told(models, networks):
    """Matrices from the frame to the face's unit square, and what the segmenter sees of it."""
    params = replace(PLAIN, face_scale=10.0, face_offset_x=20.0)
    extras = replace(networks, occlusion=True)
    image = make_image()
    (told,) = merge_frame(image, [FACE], models["tint"], params, extras).faces
    np.testing.assert_allclose(
        told.into_square, align_matrix(FACE.landmarks, FaceType.WHOLE_FACE, 1), atol=1e-12
    )
    middle = invert(told.pasted_square) @ np.array([0.5, 0.5, 1])
    expected = invert(told.into_square) @ np.array([0.52, 0.5, 1])
    np.testing.assert_allclose(middle, expected, atol=1e-9)
    assert told.visible is not None and told.visible.shape == (MASK_SIZE, MASK_SIZE)
    (plain,) = merge_frame(image, [FACE], models["tint"], params).faces
    assert plain.visible is None


class Kept:
    """A keeper for one picture that counts what it computes."""

    def __init__(self) -> None:
        self.values: dict[Hashable, Any] = {}
        self.ran: list[str] = []

    def __call__(self, key: Any, compute: Callable[[], Any]) -> Any:
        if key not in self.values:
            self.ran.append(key[0])
            value = self.values[key] = compute()
            if isinstance(value, np.ndarray):
                value.flags.writeable = False  # whoever changes a kept value fails here
        return self.values[key]


@pytest.mark.parametrize("name", SHOWN)
def test_a_changed_row_gives_the_same_bits_with_what_was_kept_as_without(models, networks, name):
    value, needs = SHOWN[name]
    row = next(row for row in controls_of(MergeParams) if row.name == name)
    image, kept = noisy_image(), Kept()
    extras = replace(networks, keep=kept)
    for mode in (MergeMode.OVERLAY, MergeMode.SEAMLESS_HIST_MATCH):
        base = MergeParams(**{"mode": mode, **needs})
        changed = replace(base, **{name: row.parse(value)})
        merge_frame(image, [FACE], models["tint"], base, extras)
        warm = merge_frame(image, [FACE], models["tint"], changed, extras)
        fresh = replace(networks, keep=Kept())
        cold = merge_frame(image, [FACE], models["tint"], changed, fresh)
        np.testing.assert_array_equal(warm.result, cold.result)
        plain = merge_frame(image, [FACE], models["tint"], changed, networks)
        np.testing.assert_allclose(warm.result, plain.result, atol=5e-3)


@pytest.mark.parametrize(
    ("rows", "anew"),
    [
        ({"mix": 0.5}, set()),
        ({"erode": 20.0}, {"mask", "alpha"}),
        ({"blur": 20.0}, {"mask", "alpha"}),
        ({"color_transfer_amount": 0.5}, {"toned", "finished", "pasted"}),
        ({"color_degrade": 50.0}, {"palette", "finished", "pasted"}),
        ({"grain": 0.5}, {"alpha", "clean", "grain", "noise", "pasted"}),
        ({"denoise": 100.0}, {"finished", "pasted"}),
        ({"face_offset_x": 10.0}, {"alpha", "pasted"}),
    ],
)
def test_a_changed_row_computes_only_what_comes_after_it(models, rows, anew):
    image, kept = make_image(), Kept()
    extras = FrameExtras(keep=kept)
    merge_frame(image, [FACE], models["tint"], MergeParams(), extras)
    kept.ran.clear()
    merge_frame(image, [FACE], models["tint"], MergeParams(**rows), extras)
    assert set(kept.ran) == anew


@pytest.mark.parametrize(
    ("row", "anew"),
    [
        ("grain", {"pasted"}),
        ("color_degrade", {"finished", "pasted"}),
        ("color_transfer_amount", {"toned", "finished", "pasted"}),
    ],
)
def test_an_amount_alone_finds_what_it_is_the_amount_of(models, row, anew):
    """Noise, palette and moved colours are costly; how much of them shows is not."""
    image, kept = make_image(), Kept()
    extras = FrameExtras(keep=kept)
    merge_frame(image, [FACE], models["tint"], parse_values(MergeParams, {row: 0.9}), extras)
    kept.ran.clear()
    merge_frame(image, [FACE], models["tint"], parse_values(MergeParams, {row: 0.4}), extras)
    assert set(kept.ran) == anew
