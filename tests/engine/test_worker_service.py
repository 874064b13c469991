"""What the worker computes and what it keeps, with a real model file and a detector for discs."""

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facegraft.controls import controls_of, parse_values
from facegraft.errors import NotAModel, ParameterError
from facegraft.faces.align import align_matrix, warp_image
from facegraft.faces.face import Origin
from facegraft.faces.faceset import write_aligned
from facegraft.inference import SwapModel
from facegraft.media.color import srgb_decode
from facegraft.merge.clip.choose import parse_choice
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.frame import merge_frame
from facegraft.merge.params import MergeMode, MergeParams
from facegraft.model_spec import FaceType, ModelSpec
from facegraft.worker.cache import BoundedCache, OpenFiles, size_of
from facegraft.worker.request import CastEntry, GivenFace, MergeRequest, face_from, space_of
from facegraft.worker.service import MergeService, Outcome, pixel_digest
from tests.drawn_faces import DiscDetector, draw_face, face_at
from tests.engine.merge_frames import inverting_enhancer
from tests.engine.tiny_dfm import write_dfm

HEIGHT, WIDTH = 180, 240
FACE = face_at(120, 90, 70)
SPEC = ModelSpec("df-ud", 64, FaceType.FULL, 32, 16, 16, 8)
RADIUS = np.hypot(*np.mgrid[-1:1:64j, -1:1:64j])
SOFT_DISC = np.clip(2.5 - 2.5 * RADIUS, 0, 1)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory) -> Path:
    """A model that reddens the face inside a soft disc."""
    return write_dfm(
        tmp_path_factory.mktemp("model") / "red.dfm",
        gain=(0.5, 0.6, 0.6), offset=(0.4, 0, 0), mask=SOFT_DISC, dst_mask=SOFT_DISC, spec=SPEC,
    )  # fmt: skip


def frame(shift: float = 0) -> np.ndarray:
    """(H, W, 4) float32 scene-linear with a drawn face on a gradient, and a highlight."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[..., 0] = np.linspace(20, 200, WIDTH, dtype=np.uint8)
    image[..., 1] = np.linspace(10, 120, HEIGHT, dtype=np.uint8)[:, None]
    draw_face(image, 120 + shift, 90, 70)
    rgba = np.ones((HEIGHT, WIDTH, 4), np.float32)
    rgba[..., :3] = srgb_decode(image.astype(np.float32) / 255)
    rgba[80:84, 100:104, :3] = 12.0
    return rgba


def request(model: Path, color: str = "scene_linear", **changes) -> MergeRequest:
    params = parse_values(MergeParams, changes.pop("params", {}))
    points = changes.pop("landmarks", None)
    faces = None if points is None else [GivenFace(face_from(face)) for face in points]
    values = dict(
        width=WIDTH, height=HEIGHT, input=0, output=0, space=space_of(color), model=model,
        params=params, faces=faces,
    )  # fmt: skip
    return MergeRequest(**{**values, **changes})


def whole_layer(outcome: Outcome) -> np.ndarray:
    layer = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    x0, y0, x1, y1 = outcome.roi
    layer[y0:y1, x0:x1] = outcome.layer
    return layer


def merge(service: MergeService, rgba: np.ndarray, asked: MergeRequest) -> Outcome:
    return service.merge(rgba, asked)


ROWS = {
    "mix": 0.5, "mode": "seamless", "color_transfer": "none", "face_scale": 20.0,
    "hist_match_masked": False, "hist_match_threshold": 200, "mask_mode": "hull", "erode": 60.0,
    "blur": 120.0, "face_type": "half", "morph_value": 0.25, "face_offset_x": 50.0,
    "face_offset_y": 50.0, "face_rotation": 10.0, "color_transfer_amount": 0.5, "light_match": 1.0,
    "light_size": 30.0, "feather_top": 100.0, "feather_bottom": 100.0, "feather_left": 100.0,
    "feather_right": 100.0, "super_resolution": 50.0, "sharpen_mode": "box", "sharpen_amount": 2.0,
    "denoise": 100.0, "bicubic_degrade": 50.0, "color_degrade": 90.0, "motion_blur": 100.0,
    "grain": 1.0, "smooth_color": 5.0, "smooth_mask": 5.0,
}  # fmt: skip
NEEDS = {
    "hist_match_masked": {"mode": MergeMode.HIST_MATCH},
    "hist_match_threshold": {"mode": MergeMode.HIST_MATCH},
    "light_size": {"light_match": 1.0},
    "sharpen_mode": {"sharpen_amount": 2.0},
    "sharpen_amount": {"sharpen_mode": "box"},
}


def changed(name: str) -> dict:
    """Arguments of MergeParams in which one row differs from its default and matters."""
    return {**NEEDS.get(name, {}), name: ROWS[name]}


@pytest.fixture(scope="module")
def enhancer_path(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("enhancer")
    inverting_enhancer(folder)
    return folder / "enhancer.onnx"


@pytest.mark.parametrize("color", ["scene_linear", "display", "acescg"])
@pytest.mark.parametrize("mode", list(MergeMode))
def test_the_composite_equals_merge_frame_s_result(model_path, color, mode):
    """In every space and mode; bit-identical outside the matte."""
    rgba = frame()
    params = MergeParams(mode=mode, blur=80.0)
    asked = request(model_path, color, landmarks=FACE.landmarks[None])
    layer = whole_layer(merge(MergeService(), rgba, replace(asked, params=params)))

    space = space_of(color)
    image = space.to_display(rgba[..., :3])
    reference = merge_frame(image, [FACE], SwapModel.open(model_path), params)
    expected = space.from_display(reference.result)
    out = layer[..., :3] + rgba[..., :3] * (1 - layer[..., 3:])
    inside = layer[..., 3] > 0
    # what is kept is pasted for a larger rectangle, which moves samples by a hundredth of a pixel
    assert np.abs(layer[..., 3] - reference.matte).max() < 2e-3
    assert inside.any() and np.allclose(out[inside], expected[inside], rtol=2e-3, atol=2e-3)
    assert np.array_equal(out[~inside], rgba[..., :3][~inside])


def test_a_merge_control_runs_neither_network_again(model_path, enhancer_path):
    """Warm and cold give the same bits, for each row of the table; framing and morph infer anew."""
    rgba, detector = frame(), DiscDetector()
    service = MergeService(detector)
    first = merge(service, rgba, request(model_path))
    assert first.cached == {"detection": False, "inference": False} and first.face_count == 1
    assert merge(service, rgba, request(model_path)).cached["inference"]
    for row in controls_of(MergeParams):
        asked = request(model_path, params=changed(row.name), enhancer=enhancer_path)
        warm = merge(service, rgba, asked)
        assert warm.cached["detection"], row.name
        assert warm.cached["inference"] == (row.name not in ("face_type", "morph_value"))
        cold = merge(MergeService(DiscDetector()), rgba, asked)
        assert warm.roi == cold.roi and np.array_equal(warm.layer, cold.layer), row.name
    assert detector.calls == 1


def test_another_pixel_model_colour_or_face_is_never_served_from_the_cache(model_path, tmp_path):
    """Stale frames are the worst defect a compositor can meet."""
    service, rgba = MergeService(DiscDetector()), frame()
    merge(service, rgba, request(model_path))
    other = rgba.copy()
    other[5, 5, 2] = np.nextafter(other[5, 5, 2], np.float32(2))  # one bit of one pixel
    changed_pixel = merge(service, other, request(model_path))
    assert changed_pixel.cached == {"detection": False, "inference": False}
    second = write_dfm(tmp_path / "blue.dfm", offset=(0, 0, 0.3), mask=SOFT_DISC, spec=SPEC)
    assert merge(service, rgba, request(second)).cached == {"detection": True, "inference": False}
    assert not merge(service, rgba, request(model_path, "display")).cached["detection"]
    moved = face_at(118, 88, 70).landmarks[None]
    given = merge(service, rgba, request(model_path, landmarks=moved))
    assert given.cached == {"detection": True, "inference": False}


def test_a_model_file_that_changed_is_opened_anew(tmp_path):
    """Exporting again over the same path must show in the host at the next frame."""
    service, rgba = MergeService(), frame()
    path = write_dfm(tmp_path / "m.dfm", offset=(0.3, 0, 0), mask=SOFT_DISC, spec=SPEC)
    asked = request(path, landmarks=FACE.landmarks[None])
    red = merge(service, rgba, asked).layer
    later = path.stat().st_mtime_ns + 10**9  # file times have steps, which a test may be within
    write_dfm(path, offset=(0, 0, 0.3), mask=SOFT_DISC, spec=SPEC)
    os.utime(path, ns=(later, later))
    blue = merge(service, rgba, asked)
    assert not blue.cached["inference"] and not np.array_equal(red, blue.layer)
    assert service.load_model(str(path))["digest"] == SwapModel.open(path).digest
    path.unlink()
    with pytest.raises(NotAModel, match=r"m\.dfm"):
        merge(service, rgba, asked)


def test_load_model_describes_it(model_path):
    """Resolution and spec, so that a host can show what it loaded."""
    info = MergeService().load_model(str(model_path))
    assert info["resolution"] == 64 and info["has_morph"] is False
    assert ModelSpec.from_json(info["spec"]) == SPEC


def test_without_a_face_or_with_mix_zero_there_is_no_layer(model_path):
    """And no error: a shot has such frames; the count tells them apart."""
    service = MergeService(DiscDetector())
    empty = merge(service, np.full((HEIGHT, WIDTH, 4), 0.2, np.float32), request(model_path))
    assert empty.face_count == 0 and empty.layer.size == 0 and empty.roi == (0, 0, 0, 0)
    off = merge(service, frame(), request(model_path, params={"mix": 0.0}))
    assert off.face_count == 1 and off.layer.size == 0
    none_given = request(model_path, landmarks=[])
    assert merge(service, frame(), none_given).face_count == 0


def test_two_faces_are_both_merged(model_path):
    """The rectangle holds both."""
    faces = np.stack([face_at(60, 60, 50).landmarks, face_at(180, 120, 50).landmarks])
    outcome = merge(MergeService(), frame(), request(model_path, landmarks=faces))
    layer = whole_layer(outcome)
    assert outcome.face_count == 2 and layer[60, 60, 3] > 0.9 and layer[120, 180, 3] > 0.9


@pytest.mark.parametrize("center", [(0, 0), (240, 90), (120, 185), (-300, 90)])
def test_a_face_across_the_frame_s_edge_is_merged_as_far_as_it_shows(model_path, center):
    """Given landmarks may lie anywhere."""
    x, y = center
    points = face_at(x, y, 70).landmarks[None]
    outcome = merge(MergeService(), frame(), request(model_path, landmarks=points))
    x0, y0, x1, y1 = outcome.roi
    assert 0 <= x0 <= x1 <= WIDTH and 0 <= y0 <= y1 <= HEIGHT
    assert outcome.layer.shape == (y1 - y0, x1 - x0, 4) or outcome.layer.size == 0


def test_faces_can_come_from_a_faceset(model_path, tmp_path):
    """By frame name, at the clip's size or a proxy of it; another shape of frame is refused."""
    matrix = align_matrix(FACE.landmarks, FaceType.FULL, 64)
    image = warp_image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), matrix, 64, 64)
    origin = Origin("clip.mp4", "000012", 12, "12/25", WIDTH, HEIGHT, "test")
    write_aligned(tmp_path / "000012_0.png", image, FACE, FaceType.FULL, matrix, origin)
    service, rgba = MergeService(), frame()
    asked = request(model_path, faceset=tmp_path, frame_key="000012")
    stored = merge(service, rgba, asked)
    given = merge(service, rgba, request(model_path, landmarks=FACE.landmarks[None]))
    assert np.allclose(whole_layer(stored), whole_layer(given), atol=5e-3)  # stored to 1/1000 px
    assert merge(service, rgba, replace(asked, frame_key="000013")).face_count == 0
    half = np.ascontiguousarray(rgba[::2, ::2])
    proxy = merge(service, half, replace(asked, width=WIDTH // 2, height=HEIGHT // 2))
    assert np.allclose(np.array(proxy.roi) * 2, stored.roi, atol=6)
    with pytest.raises(ParameterError, match="240x170"):
        merge(service, rgba[:170], replace(asked, height=170))


def test_a_faceset_s_neighbours_tell_how_its_faces_move(model_path, tmp_path):
    """By track; without neighbours a note says what is missing."""
    for index, x in ((11, 110), (12, 120), (13, 134)):
        face = replace(face_at(x, 90, 70), track=4)
        matrix = align_matrix(face.landmarks, FaceType.FULL, 64)
        image = warp_image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), matrix, 64, 64)
        origin = Origin("c.mp4", f"{index:06d}", index, f"{index}/25", WIDTH, HEIGHT, "test")
        write_aligned(tmp_path / f"{index}.png", image, face, FaceType.FULL, matrix, origin)
    service = MergeService()
    asked = request(model_path, faceset=tmp_path, frame_key="000012", params={"motion_blur": 100.0})
    outcome = merge(service, frame(), asked)
    (found,) = outcome.faces
    assert found.face.track == 4 and outcome.notes == ()
    assert found.motion is not None
    np.testing.assert_allclose(found.motion, (12, 0), atol=0.01)
    given = request(model_path, landmarks=FACE.landmarks[None], params={"motion_blur": 100.0})
    (note,) = merge(service, frame(), given).notes
    assert "motion_blur needs to know how the face moves" in note


def test_a_frame_of_a_faceset_has_the_grain_of_its_place_in_the_clip(model_path, tmp_path):
    """Hosts count from where their clip was cut; the command line counts the clip's own frames."""
    matrix = align_matrix(FACE.landmarks, FaceType.FULL, 64)
    image = warp_image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), matrix, 64, 64)
    for name, index in (("shot.1013", 12), ("shot.1014", 13), ("loose", -1)):
        origin = Origin("shot", name, index, "0", WIDTH, HEIGHT, "test")
        write_aligned(tmp_path / f"{name}.png", image, FACE, FaceType.FULL, matrix, origin)
    rgba = frame()
    noise = np.random.default_rng(1).normal(0, 0.02, (HEIGHT, WIDTH, 3))
    rgba[..., :3] += noise.astype(np.float32) * rgba[..., :3]

    def grainy(key: str, number: int) -> np.ndarray:
        asked = request(model_path, faceset=tmp_path, frame_key=key, params={"grain": 2.0})
        return whole_layer(merge(MergeService(), rgba, replace(asked, frame=number)))

    assert np.array_equal(grainy("shot.1013", 12), grainy("shot.1013", 0))
    assert np.array_equal(grainy("shot.1013", 12), grainy("loose", 12))
    assert not np.array_equal(grainy("shot.1013", 12), grainy("shot.1014", 12))


def test_given_neighbours_blur_the_face_as_its_motion_does(model_path):
    points = FACE.landmarks
    way = np.array([18, 6], np.float32)
    given = GivenFace(FACE, before=points - way, after=points + way)
    asked = request(model_path, params={"motion_blur": 80.0, "color_transfer": "none"})
    layer = whole_layer(merge(MergeService(), frame(), replace(asked, faces=[given])))
    image = space_of("scene_linear").to_display(frame()[..., :3])
    extras = FrameExtras([FaceExtras(motion=way)])
    reference = merge_frame(image, [FACE], SwapModel.open(model_path), asked.params, extras)
    expected = srgb_decode(reference.result)
    out = layer[..., :3] + frame()[..., :3] * (1 - layer[..., 3:])
    assert np.allclose(out, expected, rtol=2e-3, atol=2e-3)
    half = replace(given, before=None)
    other = merge(MergeService(), frame(), replace(asked, faces=[half]))
    (found,) = other.faces
    assert found.motion is not None
    np.testing.assert_allclose(found.motion, way, atol=1e-4)


def test_rows_that_need_a_whole_clip_are_noted_and_change_nothing(model_path):
    rgba, points = frame(), FACE.landmarks[None]
    plain = merge(MergeService(), rgba, request(model_path, landmarks=points))
    steady = request(model_path, landmarks=points, params={"smooth_color": 9.0, "smooth_mask": 2.0})
    outcome = merge(MergeService(), rgba, steady)
    assert np.array_equal(outcome.layer, plain.layer)
    assert [note.split()[0] for note in outcome.notes] == ["smooth_color", "smooth_mask"]
    assert plain.notes == ()


def test_a_choice_leaves_the_others_alone_and_says_so(model_path):
    faces = np.stack([face_at(60, 60, 50).landmarks, face_at(180, 120, 56).landmarks])
    asked = request(model_path, landmarks=faces, choice=parse_choice("left:1"))
    outcome = merge(MergeService(), frame(), asked)
    layer = whole_layer(outcome)
    assert layer[60, 60, 3] > 0.9 and layer[120, 180, 3] == 0
    assert [found.chosen for found in outcome.faces] == [True, False] and outcome.face_count == 1
    largest = merge(MergeService(), frame(), replace(asked, choice=parse_choice("largest:1")))
    assert [found.chosen for found in largest.faces] == [False, True]


def test_a_cast_gives_some_faces_another_model(model_path, tmp_path):
    """The first entry that means a face has it; the rest get the frame's model."""
    blue = write_dfm(tmp_path / "b.dfm", gain=(0, 0, 0), offset=(0, 0, 1), mask=SOFT_DISC)
    faces = np.stack([face_at(60, 60, 50).landmarks, face_at(180, 120, 50).landmarks])
    cast = (CastEntry(parse_choice("left:2"), blue), CastEntry(parse_choice("all"), model_path))
    plain = {"color_transfer": "none"}
    asked = request(model_path, "display", landmarks=faces, cast=cast, params=plain)
    layer = whole_layer(merge(MergeService(), frame(), asked))
    assert np.allclose(layer[120, 180, :3], (0, 0, 1), atol=1e-3)
    alone = request(model_path, "display", landmarks=faces[:1], params=plain)
    left = whole_layer(merge(MergeService(), frame(), alone))
    assert np.allclose(layer[:, :110], left[:, :110], atol=2e-3) and layer[60, 60, 2] < 0.9


def test_the_host_s_matte_is_used_and_another_one_is_never_mistaken_for_it(model_path):
    matte = np.zeros((HEIGHT, WIDTH), np.float32)
    matte[70:110, 100:140] = 1
    service, rgba = MergeService(), frame()
    asked = request(model_path, landmarks=FACE.landmarks[None], params={"mask_mode": "host"})
    first = service.merge(rgba, asked, None, matte)
    assert np.abs(whole_layer(first)[..., 3] - matte).mean() < 0.01
    other = service.merge(rgba, asked, first.digest, np.ascontiguousarray(matte[::-1]))
    assert np.abs(whole_layer(other)[..., 3] - matte[::-1]).mean() < 0.01
    again = service.merge(rgba, asked, first.digest, matte, first.matte_digest)
    assert np.array_equal(again.layer, first.layer)
    with pytest.raises(ParameterError, match="matte"):
        service.merge(rgba, asked)


def test_a_layer_is_written_where_it_is_asked_for(model_path):
    room = np.full(HEIGHT * WIDTH * 4, 7, np.float32)
    asked = request(model_path, landmarks=FACE.landmarks[None])
    outcome = MergeService().merge(frame(), asked, out=room)
    count = outcome.layer.size
    assert np.array_equal(room[:count], outcome.layer.reshape(-1)) and (room[count:] == 7).all()


def test_a_file_is_opened_once_and_the_longest_unused_closed(tmp_path):
    opened: list[str] = []

    def opener(path: Path) -> str:
        opened.append(path.name)
        return path.name

    files = OpenFiles("network", 2, opener)
    for name in "abc":
        (tmp_path / name).write_text(name)
    for name in ("a", "b", "a", "c", "a", "b"):
        assert files.get(tmp_path / name) == name
    assert opened == ["a", "b", "c", "b"]
    with pytest.raises(NotAModel, match="cannot read the network"):
        files.get(tmp_path / "missing")


def test_sizes_count_every_array():
    face = GivenFace(FACE, before=np.zeros((68, 2), np.float32))
    assert size_of(np.zeros((4, 8), np.float32)) == 128
    assert size_of([np.zeros(2), np.zeros(3)]) == 1024 + 40
    assert size_of(face) > FACE.landmarks.nbytes + 68 * 2 * 4


def test_the_cache_keeps_within_its_bound():
    """The longest unused goes first, and what is larger than all of it is not kept."""
    cache = BoundedCache(100)
    for key in "abc":
        cache.put(key, key, 40)
    assert cache.get("a") is None and cache.get("b") == "b" and cache.used == 80
    cache.put("d", "d", 40)
    assert cache.get("c") is None and cache.get("b") == "b"
    cache.put("big", "big", 101)
    assert cache.get("big") is None and cache.used == 80
    cache.put("b", "B", 10)
    assert cache.get("b") == "B" and cache.used == 50 and len(cache) == 2


def test_what_the_worker_keeps_of_many_frames_is_within_its_bounds(model_path):
    """As Python's allocator counts it, not the caches; and it is kept: the last frame is warm."""
    cache_bytes, image_bytes, beside = 3 << 20, 1 << 20, 1 << 19
    service = MergeService(DiscDetector(), cache_bytes, image_bytes)
    rows = ({}, {"erode": 10.0}, {"grain": 0.5}, {"mode": "seamless"}, {"mode": "raw_predict"})
    merge(service, frame(), request(model_path))  # what is opened and filled once
    tracemalloc.start()
    rgba = frame()
    try:
        for number in range(6):
            rgba = frame(number / 10)
            for params in rows:
                merge(service, rgba, request(model_path, params=params))
        kept = tracemalloc.get_traced_memory()[0] - rgba.nbytes
    finally:
        tracemalloc.stop()
    assert cache_bytes / 2 < kept < cache_bytes + image_bytes + beside
    again = merge(service, rgba, request(model_path, params=rows[-1]))
    assert again.cached == {"detection": True, "inference": True}


def test_the_digest_tells_shapes_and_bits_apart():
    """The same bytes in another shape, and -0 for 0, are other frames."""
    pixels = np.zeros((4, 2, 4), np.float32)
    assert pixel_digest(pixels) == pixel_digest(pixels.copy())
    assert pixel_digest(pixels) != pixel_digest(pixels.reshape(2, 4, 4))
    assert pixel_digest(pixels) != pixel_digest(-pixels)
