"""What the worker computes and what it keeps, with a real model file and a detector for discs."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facegraft.controls import controls_of
from facegraft.errors import NotAModel, ParameterError
from facegraft.faces.align import align_matrix, warp_image
from facegraft.faces.face import Origin
from facegraft.faces.faceset import write_aligned
from facegraft.inference import SwapModel
from facegraft.media.color import srgb_decode, srgb_encode
from facegraft.merge.frame import merge_frame
from facegraft.merge.params import MergeMode, MergeParams
from facegraft.model_spec import FaceType, ModelSpec
from facegraft.worker.cache import BoundedCache
from facegraft.worker.request import MergeRequest
from facegraft.worker.service import MergeService, Outcome, pixel_digest
from tests.drawn_faces import DiscDetector, draw_face, face_at
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
    params = MergeParams(**changes.pop("params", {}))
    values = dict(
        width=WIDTH, height=HEIGHT, input=0, output=0, input_unchanged=False, color=color,
        model=model, params=params, landmarks=None, faceset=None, frame_key=None,
    )  # fmt: skip
    return MergeRequest(**{**values, **changes})


def whole_layer(outcome: Outcome) -> np.ndarray:
    layer = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    x0, y0, x1, y1 = outcome.roi
    layer[y0:y1, x0:x1] = outcome.layer
    return layer


def merge(service: MergeService, rgba: np.ndarray, asked: MergeRequest) -> Outcome:
    return service.merge(rgba, asked, None)


ROWS = {
    "mix": 0.5, "mode": "seamless", "color_transfer": "none", "face_scale": 20.0,
    "hist_match_masked": False, "hist_match_threshold": 200, "mask_mode": "hull", "erode": 60.0,
    "blur": 120.0, "face_type": "half", "morph_value": 0.25,
}  # fmt: skip


def changed(name: str) -> dict:
    """Arguments of MergeParams in which one row differs from its default and matters."""
    row = next(row for row in controls_of(MergeParams) if row.name == name)
    needs = {"mode": MergeMode.HIST_MATCH} if name.startswith("hist") else {}
    return {**needs, name: row.parse(ROWS[name])}


@pytest.mark.parametrize("color", ["scene_linear", "display"])
@pytest.mark.parametrize("row", [None, *(row.name for row in controls_of(MergeParams))])
def test_the_composite_equals_merge_frame_s_result(model_path, color, row):
    """To 1e-6 for every control, in both colour spaces; bit-identical outside the matte."""
    rgba = frame()
    params = MergeParams(**(changed(row) if row else {}))
    asked = request(model_path, color, landmarks=FACE.landmarks[None])
    layer = whole_layer(merge(MergeService(), rgba, replace(asked, params=params)))

    linear = color == "scene_linear"
    image = srgb_encode(rgba[..., :3]) if linear else rgba[..., :3]
    reference = merge_frame(image, [FACE], SwapModel.open(model_path), params)
    expected = srgb_decode(reference.result) if linear else reference.result
    out = layer[..., :3] + rgba[..., :3] * (1 - layer[..., 3:])
    inside = reference.matte > 0
    assert inside.any() and np.array_equal(layer[..., 3], reference.matte)
    assert np.allclose(out[inside], expected[inside], rtol=1e-6, atol=1e-6)
    assert np.array_equal(out[~inside], rgba[..., :3][~inside])


def test_a_merge_control_runs_neither_network_again(model_path):
    """Warm and cold give the same bits, for each row of the table; framing and morph infer anew."""
    rgba, detector = frame(), DiscDetector()
    service = MergeService(detector)
    first = merge(service, rgba, request(model_path))
    assert first.cached == {"detection": False, "inference": False} and first.face_count == 1
    assert merge(service, rgba, request(model_path)).cached["inference"]
    for row in controls_of(MergeParams):
        asked = request(model_path, params=changed(row.name))
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
    time.sleep(0.02)  # file times have steps of up to 10 ms
    write_dfm(path, offset=(0, 0, 0.3), mask=SOFT_DISC, spec=SPEC)
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
    none_given = request(model_path, landmarks=np.empty((0, 68, 2), np.float32))
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


def test_the_digest_tells_shapes_and_bits_apart():
    """The same bytes in another shape, and -0 for 0, are other frames."""
    pixels = np.zeros((4, 2, 4), np.float32)
    assert pixel_digest(pixels) == pixel_digest(pixels.copy())
    assert pixel_digest(pixels) != pixel_digest(pixels.reshape(2, 4, 4))
    assert pixel_digest(pixels) != pixel_digest(-pixels)
