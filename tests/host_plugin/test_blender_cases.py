"""The FaceGraft node where things are less plain: odd inputs, other scenes, old files, real faces.

Same reference and bounds as in test_blender_node.py.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facegraft.controls import controls_of
from facegraft.errors import MissingWeights
from facegraft.faces.detect import FaceDetector
from facegraft.inference import SwapModel
from facegraft.media.color import srgb_encode
from facegraft.media.working_space import open_space
from facegraft.merge.frame import merge_frame
from facegraft.merge.params import ColorTransfer, MergeParams
from tests.engine.tiny_dfm import write_dfm
from tests.host_plugin.conftest import Blender
from tests.host_plugin.shots import FRAMES, HEIGHT, WIDTH, Shot
from tests.host_plugin.test_blender_node import (
    HARD,
    HARD_SOCKETS,
    LINEAR_ERROR,
    linear,
    linear_source,
    read_exr,
    read_png,
)
from tests.synthetic import make_clip

pytestmark = [pytest.mark.blender, pytest.mark.slow]


def test_negative_bright_and_transparent_pixels_pass_where_the_matte_is_0(
    blender: Blender, shot: Shot
):
    random = np.random.default_rng(5)
    pixels = random.normal(0, 3, (HEIGHT, WIDTH, 4)).astype(np.float32)
    pixels[..., 3] = random.random((HEIGHT, WIDTH))
    pixels[:20, :, 3] = 0
    np.save(shot.folder / "source.npy", pixels)
    request = shot.request(
        [{"name": "FG", "params": HARD_SOCKETS}], source=str(shot.folder / "source.npy")
    )
    run = blender("shoot", **request)
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        got, matte = read_exr(shot, index), shot.expected(index, HARD).matte
        assert np.array_equal(got[matte == 0], pixels[matte == 0]), index
        assert np.array_equal(got[..., 3], pixels[..., 3]), index
        if index < FRAMES - 1:
            assert (got != pixels)[matte > 0.5].mean() > 0.5, index


def test_a_value_node_behind_a_reroute_is_read(blender: Blender, shot: Shot):
    node = {"name": "FG", "params": HARD_SOCKETS, "links": {"Mix": 0.25}}
    run = blender("shoot", **shot.request([node]))
    assert run.exit_code == 0, run.log
    expected = linear(shot.expected(1, {**HARD, "mix": 0.25}).result)
    assert np.abs(read_exr(shot, 1)[..., :3] - expected).max() < LINEAR_ERROR


def test_a_link_that_only_the_compositor_can_read_is_an_error(blender: Blender, shot: Shot):
    node = {"name": "FG", "links": {"Mix": "source"}}
    run = blender("shoot", **shot.request([node], format="PNG"))
    assert "FaceGraft: frame 1: FG: Mix is linked to Image" in run.log
    assert np.array_equal(read_png(shot, 1), shot.frames[1])


@pytest.mark.parametrize(("on_error", "code"), [("PASS", 0), ("FAIL", 3)])
def test_a_node_inside_another_group_is_named_since_it_cannot_run(
    blender: Blender, shot: Shot, on_error: str, code: int
):
    node = {"name": "FG", "bury": True, "on_error": on_error}
    run = blender("shoot", **shot.request([node], format="PNG"))
    assert run.exit_code == code
    assert "the node inside the group 'Look' is not run; move it to the top level" in run.log
    if code == 0:
        assert np.array_equal(read_png(shot, 1), shot.frames[1])


def test_a_node_without_a_source_says_so(blender: Blender, shot: Shot):
    node = {"name": "FG", "from": "nothing"}
    run = blender("shoot", **shot.request([node]))
    assert "FaceGraft: frame 1: FG: nothing is connected to Image" in run.log


def test_a_file_with_fewer_rows_gains_the_new_ones_and_keeps_its_keys(blender: Blender, shot: Shot):
    missing = 2
    keys = {"Mix": [[1, 0.0], [FRAMES, 1.0]]}
    node = {"name": "FG", "params": HARD_SOCKETS, "keys": keys}
    answer = blender("upgrade", **shot.request([node]), missing=missing).answer
    rows = [row.control.label for row in controls_of(MergeParams)]
    assert answer["before"] == ["Image", "Mask", *rows[:-missing]]
    assert answer["after"] == answer["names"] == ["Image", "Mask", *rows]
    assert [count for _, count in answer["curves"]] == [2]
    for index in range(FRAMES):
        expected = shot.expected(index, {**HARD, "mix": index / (FRAMES - 1)}).result
        assert np.abs(read_exr(shot, index)[..., :3] - linear(expected)).max() < LINEAR_ERROR


@pytest.mark.parametrize(
    ("size", "percentage"), [((WIDTH, HEIGHT), 50), ((131, 77), 100), ((191, 121), 100)]
)
def test_a_render_of_another_size_shows_the_clip_centred_with_its_face_in_place(
    blender: Blender, shot: Shot, size: tuple[int, int], percentage: int
):
    """Blender neither scales nor moves a clip; odd differences are where a pixel may slip."""
    values = {"size": list(size), "percentage": percentage}
    assert blender("shoot", **shot.request([], result=["source", "Image"], **values)).exit_code == 0
    sources = [read_exr(shot, i) for i in range(FRAMES)]
    run = blender("shoot", **shot.request([{"name": "FG", "params": HARD_SOCKETS}], **values))
    assert run.exit_code == 0, run.log
    place = _place(linear_source(shot, 0), sources[0][..., :3])
    for index in range(FRAMES):
        got, expected = read_exr(shot, index), shot.expected(index, HARD)
        result, matte = (_placed(p, place) for p in (linear(expected.result), expected.matte))
        assert np.array_equal(got[matte == 0], sources[index][matte == 0]), index
        assert np.abs(got[..., :3] - result).max() < LINEAR_ERROR, index


Place = tuple[int, int, tuple[int, ...]]  # rows and columns that the clip is moved by; frame size


def _place(clip: np.ndarray, frame: np.ndarray) -> Place:
    """Where Blender put the clip in the frame: the one of four roundings that fits."""
    shape = frame.shape[:2]
    dy, dx = ((b - a) // 2 for a, b in zip(clip.shape, shape, strict=False))
    places: list[Place] = [(dy + y, dx + x, shape) for y in (0, 1) for x in (0, 1)]
    errors = [float(np.abs(_placed(clip, place) - frame).max()) for place in places]
    assert min(errors) < LINEAR_ERROR
    return places[int(np.argmin(errors))]


def _placed(picture: np.ndarray, place: Place) -> np.ndarray:
    dy, dx, shape = place
    frame = np.zeros((*shape, *picture.shape[2:]), np.float32)
    rows, columns = (slice(max(d, 0), d + n) for d, n in zip((dy, dx), picture.shape, strict=False))
    part = picture[max(-dy, 0) :, max(-dx, 0) :]
    target = frame[rows, columns]
    target[...] = part[: target.shape[0], : target.shape[1]]
    return frame


def test_faces_of_a_clip_with_other_proportions_are_refused(blender: Blender, shot: Shot):
    """The scene's 3D render is not the clip that the faces come from."""
    node = {"name": "FG"}
    run = blender("shoot", **shot.request([node], source="RENDER", frames=1, size=[100, 100]))
    assert "the faces come from a 160x96 clip and the picture is 100x100" in run.log


def test_a_single_frame_shows_that_frames_face_and_value(blender: Blender, shot: Shot):
    keys = {"Mix": [[1, 0.0], [FRAMES, 1.0]]}
    node = {"name": "FG", "params": HARD_SOCKETS, "keys": keys}
    output = str(shot.folder / "out_0003")
    run = blender("shoot", **shot.request([node], single=3, output=output))
    assert run.exit_code == 0, run.log
    expected = linear(shot.expected(2, {**HARD, "mix": 0.5}).result)
    assert np.abs(read_exr(shot, 2)[..., :3] - expected).max() < LINEAR_ERROR


def test_the_scenes_own_3d_render_can_enter_the_node(blender: Blender, shot: Shot):
    plain = shot.request([], result=["source", "Image"], source="RENDER", frames=2)
    assert blender("shoot", **plain).exit_code == 0
    source = read_exr(shot, 1)
    node = {"name": "FG", "params": HARD_SOCKETS}
    run = blender("shoot", **shot.request([node], source="RENDER", frames=2))
    assert run.exit_code == 0, run.log
    expected = shot.expected(1, HARD, image=srgb_encode(source[..., :3]))
    got = read_exr(shot, 1)
    assert np.ptp(source[..., :3]) > 0.01  # the default cube is in view
    assert np.array_equal(got[expected.matte == 0], source[expected.matte == 0])
    assert np.abs(got[..., :3] - linear(expected.result)).max() < LINEAR_ERROR
    assert run.answer["scenes"] == ["Scene"]


def test_as_a_scene_strip_in_another_scenes_sequencer(blender: Blender, shot: Shot):
    """Each frame fires render handlers for the inner scene; 8-bit levels, since strips quantise."""
    keys = {"Mix": [[1, 0.0], [FRAMES, 1.0]]}
    node = {"name": "FG", "params": HARD_SOCKETS, "keys": keys}
    run = blender("shoot", **shot.request([node], as_strip=True, format="PNG"))
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        params = {**HARD, "mix": index / (FRAMES - 1)}
        expected = np.clip(shot.expected(index, params).result, 0, 1) * 255
        assert np.abs(read_png(shot, index) - expected).max() <= 1.5, index
    assert sorted(run.answer["scenes"]) == ["Edit", "Scene"]
    assert run.answer["scratch"] == []


def test_the_interface_refreshes_once_per_change_and_draws_its_panels(blender: Blender, shot: Shot):
    node = {"name": "FG", "params": HARD_SOCKETS}
    run = blender("interface", **shot.request([node]))
    assert run.exit_code == 0, run.log
    answer = run.answer
    assert answer["empty_before"] and answer["covered"] == 1.0
    before, after, next_frame = answer["signatures"]
    assert before == after  # writing the layer asks for no further refresh
    assert after != next_frame
    assert answer["unseen"] == []  # every control, setting and upstream change asks for one
    shown = answer["shown"]
    assert {"Model", "Faces", "On error", "Frame 1: swapped", "Swap", "Source"} <= set(shown)
    assert {"Mode", "overlay", "Licence: not stated", "Face type: full"} <= set(shown)


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24)])
def test_the_scene_takes_the_clips_rate_size_and_length_and_no_warning_is_left(
    blender: Blender, shot: Shot, rate: Fraction
):
    clip = make_clip(shot.folder / "src.mp4", shot.frames, rate)
    request = shot.request(
        [{"name": "FG"}], source=str(clip), source_kind="MOVIE", size=[64, 64], frames=3
    )
    answer = blender("match_scene", **request).answer
    texts = "\n".join(answer["before"])
    assert "view transform is AgX" in texts
    assert f"The clip has {float(rate):g} frames a second, the scene 25" in texts
    assert "The clip is 160x96 px, the render 64x64" in texts
    assert answer["after"] == []
    assert answer["size"] == [WIDTH, HEIGHT]
    assert answer["range"] == [1, FRAMES, 1]
    assert answer["result"] == ["FINISHED"] and answer["clips"] == []
    assert answer["fps"] == round(rate)
    assert answer["fps"] / answer["base"] == pytest.approx(float(rate), rel=1e-5)


def test_other_working_spaces_are_converted_for_the_network_and_back(blender: Blender, shot: Shot):
    """Against the engine's own conversion of what Blender renders without the node."""
    space = open_space("acescg")
    values = {"working_space": "ACEScg", "frames": 2}
    plain = shot.request([], result=["source", "Image"], **values)
    assert blender("shoot", **plain).exit_code == 0
    source = read_exr(shot, 1)
    assert np.abs(source[..., :3] - linear_source(shot, 1)).max() > 0.01  # it is another space
    run = blender("shoot", **shot.request([{"name": "FG", "params": HARD_SOCKETS}], **values))
    assert run.exit_code == 0, run.log
    image = space.to_display(source[..., :3])
    expected = space.from_display(shot.expected(1, HARD, image=image).result)
    got = read_exr(shot, 1)
    assert np.abs(got[..., :3] - expected).max() < LINEAR_ERROR
    matte = shot.expected(1, HARD, image=image).matte
    assert np.array_equal(got[matte == 0], source[matte == 0])


@pytest.fixture
def portrait(tmp_path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB: scikit-image's public-domain portrait of Eileen Collins (NASA)."""
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[:256, 96:352])


def test_a_real_face_is_found_and_swapped_without_any_faceset(
    blender: Blender, portrait: np.ndarray, tmp_path: Path
):
    try:
        detector = FaceDetector()
    except MissingWeights as error:
        pytest.skip(f"no detector: {error}")
    image = portrait.astype(np.float32) / 255
    model = write_dfm(tmp_path / "negative.dfm", 128, (-1, -1, -1), (1, 1, 1))
    height, width = image.shape[:2]
    alpha = np.ones((height, width, 1), np.float32)
    np.save(tmp_path / "source.npy", np.concatenate([linear(image), alpha], axis=2))
    shot = Shot(tmp_path, [portrait], Path(), model)
    request = shot.request(
        [{"name": "FG", "faces": "", "params": {"Transfer mode": 0}}],
        source=str(tmp_path / "source.npy"),
        size=[width, height],
    )
    run = blender("shoot", **request)
    assert run.exit_code == 0, run.log
    faces = detector.detect(portrait)
    assert len(faces) == 1 == run.answer["statuses"]["FG"]["faces"]
    params = MergeParams(color_transfer=ColorTransfer.NONE)
    expected = merge_frame(image, faces, SwapModel.open(model), params)
    got = read_exr(shot, 0)[..., :3]
    assert expected.matte.mean() > 0.02
    assert np.array_equal(got[expected.matte == 0], linear(image)[expected.matte == 0])
    assert np.abs(got - linear(expected.result)).max() < 0.02  # landmarks differ by a hair
    assert np.abs(got - linear(expected.result)).mean() < LINEAR_ERROR


def test_linear_source_is_what_blender_decodes(blender: Blender, shot: Shot):
    assert blender("shoot", **shot.request([], result=["source", "Image"])).exit_code == 0
    assert np.abs(read_exr(shot, 0)[..., :3] - linear_source(shot, 0)).max() < LINEAR_ERROR
