"""What the node's operators make: baked layers, keyframes for the command line, presets, choices.

Same reference and bounds as in test_blender_node.py.
"""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from facegraft.controls import plain_values
from facegraft.errors import MissingWeights
from facegraft.faces.detect import FaceDetector
from facegraft.inference import SwapModel
from facegraft.media.color import srgb_encode
from facegraft.merge.animation import load_animation
from facegraft.merge.clip.track_file import load_tracks
from facegraft.merge.detail.motion import motions
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.frame import merge_frame
from facegraft.merge.params import ColorTransfer, MergeParams
from facegraft_cli.main import cli
from tests.engine.tiny_dfm import write_dfm
from tests.host_plugin.conftest import Blender
from tests.host_plugin.shots import FRAMES, Shot
from tests.host_plugin.test_blender_node import (
    HARD,
    HARD_SOCKETS,
    LINEAR_ERROR,
    linear,
    linear_source,
    read_exr,
    read_png,
)

pytestmark = [pytest.mark.blender, pytest.mark.slow]

NO_ENGINE = "/nowhere/python"
KEYS = {"Mix": [[1, 0.0], [FRAMES, 1.0]]}


def keyed(index: int) -> dict[str, Any]:
    return {**HARD, "mix": index / (FRAMES - 1)}


@pytest.fixture
def baked(blender: Blender, shot: Shot) -> dict[str, Any]:
    """A request whose file reads baked layers."""
    node = {"name": "FG", "params": HARD_SOCKETS, "keys": KEYS}
    request = shot.request([node], cache=str(shot.folder / "facegraft" / "FaceGraft"))
    run = blender("bake", **request)
    assert run.exit_code == 0, run.log
    assert run.answer["result"] == ["FINISHED"] and run.answer["source"] == "CACHE", run.log
    assert run.answer["scenes"] == ["Scene"] and run.answer["scratch"] == []
    return request


@pytest.mark.parametrize("addon", [True, False], ids=["without engine", "without add-on"])
def test_a_baked_node_renders_the_same_pixels_without_an_engine(
    blender: Blender, shot: Shot, baked: dict[str, Any], addon: bool
):
    run = blender("render", engine=NO_ENGINE, addon=addon, **files_of(baked))
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        expected = linear(shot.expected(index, keyed(index)).result)
        assert np.abs(read_exr(shot, index)[..., :3] - expected).max() < LINEAR_ERROR, index
    if addon:
        assert run.answer["statuses"]["FG"]["outcome"] == "baked"
        assert run.answer["statuses"]["FG"]["notes"] == []


def files_of(request: dict[str, Any]) -> dict[str, Any]:
    return {"blend": request["blend"], "output": request["output"]}


def test_beyond_the_baked_frames_and_where_a_file_is_gone_the_source_shows(
    blender: Blender, shot: Shot, baked: dict[str, Any]
):
    """Blender itself would go on showing the last layer."""
    edges = [0, FRAMES + 2]
    plain = shot.request([], result=["source", "Image"], blend=str(shot.folder / "plain.blend"))
    assert blender("shoot", edges=edges, **plain).exit_code == 0
    sources = {index: read_exr(shot, index) for index in (-1, 1, FRAMES, FRAMES + 1)}
    (Path(baked["cache"]) / "layer_0003.exr").unlink()  # of frame 2; the first file is empty
    run = blender("render", engine=NO_ENGINE, edges=edges, **files_of(baked))
    assert run.exit_code == 0, run.log
    assert "frame 0 is not baked, 1-5 are" in run.log and "layer_0003.exr is missing" in run.log
    assert f"frame {FRAMES + 2} is not baked" in run.log
    for index, source in sources.items():
        assert np.array_equal(read_exr(shot, index), source), index


def test_a_value_that_changed_since_the_bake_is_named(
    blender: Blender, shot: Shot, baked: dict[str, Any]
):
    run = blender("render", engine=NO_ENGINE, set={"Erode": 50.0}, **files_of(baked))
    assert run.exit_code == 0, run.log
    notes = run.answer["statuses"]["FG"]["notes"]
    assert notes == ["baked with another value of Erode; bake again"]
    assert run.log.count("baked with another value of Erode") == 2  # once in the log, and above


def test_a_bake_that_fails_leaves_the_node_live_and_no_files(blender: Blender, shot: Shot):
    request = shot.request([{"name": "FG", "model": "/nowhere/gone.dfm"}])
    answer = blender("bake", **request).answer
    assert "gone.dfm" in answer["result"]
    assert answer["source"] == "LIVE" and answer["scenes"] == ["Scene"]
    assert list((shot.folder / "facegraft").iterdir()) == []


def test_the_baked_group_works_as_a_strip_modifier_in_the_sequencer(
    blender: Blender, shot: Shot, baked: dict[str, Any]
):
    request = {**baked, "node": "FG", "format": "PNG"}
    run = blender("strip_modifier", engine=NO_ENGINE, **request)
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        expected = np.clip(shot.expected(index, keyed(index)).result, 0, 1) * 255
        assert np.abs(read_png(shot, index) - expected).max() <= 1.5, index  # strips quantise


CURVES = {
    "Mix": [[1, 0.2], [3, 1.0], [FRAMES, 0.4]],
    "Erode": [[1, -30.0], [FRAMES, 60.0]],
    "Face scale": [[2, -10.0], [4, 20.0]],
    "Mode": [[1, 1], [3, 3], [4, 2]],
    "Masked hist match": [[1, True], [4, False]],
    "Hist match threshold": [[1, 255], [FRAMES, 100]],
    "Blur": [[1, 0.0], [FRAMES, 80.0]],
    "Transfer amount": [[1, 0.0], [FRAMES, 1.0]],
}
EDITS = [
    "curve('Mode').keyframe_points[0].interpolation = 'CONSTANT'",
    "curve('Mode').keyframe_points[1].interpolation = 'CONSTANT'",
    "curve('Mode').keyframe_points[2].interpolation = 'CONSTANT'",
    "[setattr(p, 'interpolation', 'BEZIER') for p in curve('Mix').keyframe_points]",
    # steep and long handles, one beyond the next key: Blender shortens them
    "curve('Mix').keyframe_points[0].handle_right_type = 'FREE'",
    "curve('Mix').keyframe_points[0].handle_right = (6.0, 0.9)",
    "curve('Mix').keyframe_points[1].handle_left_type = 'FREE'",
    "curve('Mix').keyframe_points[1].handle_left = (1.5, 1.4)",
    "curve('Blur').keyframe_points[0].interpolation = 'SINE'",  # no kind of the command line's
    "curve('Erode').modifiers.new('NOISE').strength = 5",
]


@pytest.fixture
def exported(blender: Blender, shot: Shot) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A request with the exported file, and the values that the node showed at every frame."""
    node = {"name": "FG", "keys": CURVES, "params": {"Mask mode": 2, "Sharpen mode": 2}}
    request = shot.request([node], json=str(shot.folder / "keys.json"), edits=EDITS, format="PNG")
    run = blender("keyframes", **request)
    assert run.exit_code == 0, run.log
    assert run.answer["result"] == ["FINISHED"], run.log
    return request, run.answer["values"]


def test_exported_keyframes_have_the_nodes_value_at_every_frame(exported):
    request, values = exported
    animation = load_animation(Path(request["json"]))
    for index, expected in enumerate(values):
        found = plain_values(animation.at(index))
        for name, value in expected.items():
            if isinstance(value, float):
                assert found[name] == pytest.approx(value, abs=2e-4, rel=1e-5), (index, name)
            else:
                assert found[name] == value, (index, name)
    kinds = {name: {key.interpolation for key in keys} for name, keys in animation.curves.items()}
    assert kinds["mix"] == {"bezier"} and kinds["mode"] == {"hold"}
    assert kinds["face_scale"] == {"linear"}
    assert kinds["blur"] == kinds["erode"] == kinds["hist_match_threshold"] == {"hold"}
    assert len({round(v["mix"], 3) for v in values}) == FRAMES  # every frame has its own


def test_the_command_line_renders_the_exported_keyframes_as_the_node_does(
    blender: Blender, shot: Shot, exported
):
    request, _ = exported
    run = blender("render", blend=request["blend"], output=request["output"])
    assert run.exit_code == 0, run.log
    out = shot.folder / "cli"
    arguments = ["merge", str(shot.folder / "src_####.png"), str(out), "--model", str(shot.model)]
    arguments += ["--faces", str(shot.faces), "--params", request["json"]]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    pictures = sorted(out.glob("*.png"))
    assert len(pictures) == FRAMES
    changed = []
    for index, path in enumerate(pictures):
        picture = cv2.imread(str(path))
        assert picture is not None, path
        theirs = picture[..., ::-1].astype(int)
        ours = read_png(shot, index).astype(int)
        assert np.abs(theirs - ours).max() <= 1, index
        changed.append(int(np.abs(ours - shot.frames[index]).max()))
    assert min(changed[:-1]) > 20 and changed[-1] == 0  # the last frame has no face


def test_imported_keyframes_are_exported_as_they_came(blender: Blender, shot: Shot):
    first, again = shot.folder / "in.json", shot.folder / "again.json"
    keys = {
        "mix": {"keys": [[0, 0.0, "bezier", [-1, 0.0], [1.5, 0.0]], [4, 1.0, "linear"]]},
        "mode": {"keys": [[0, "overlay", "hold"], [2, "seamless", "hold"]]},
        "erode": 12.5,
    }
    first.write_text(json.dumps({"version": 2, "params": keys}))
    request = shot.request([{"name": "FG"}], json=str(first), json_again=str(again))
    run = blender("import_keys", **request)
    assert run.answer["results"] == [["FINISHED"], ["FINISHED"]], run.log
    before, after = load_animation(first), load_animation(again)
    for frame in range(FRAMES):
        values, expected = (plain_values(a.at(frame)) for a in (after, before))
        assert values == pytest.approx(expected, abs=1e-5), frame
    assert after.curves["mix"][0].interpolation == "bezier"


def test_presets_are_saved_and_set_every_row(
    blender: Blender, shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    node = {"name": "FG", "params": {"Erode": 33.0, "Mode": 3}}
    run = blender("preset", **shot.request([node], presets=["seamless"]))
    assert run.exit_code == 0, run.log
    assert run.answer["saved"] == ["FINISHED"]
    assert "there is a preset mine already" in run.answer["taken"]
    defaults = plain_values(MergeParams())
    done, values = run.answer["loaded"]["mine"]
    assert done == ["FINISHED"]
    assert values == pytest.approx({**defaults, "erode": 33.0, "mode": "seamless"})
    done, values = run.answer["loaded"]["seamless"]
    assert values["mode"] == "seamless" and values["erode"] != 33.0


def test_by_option_an_error_is_written_over_the_frame(blender: Blender, shot: Shot):
    node = {"name": "FG", "model": "/nowhere/gone.dfm", "on_error": "CARD"}
    run = blender("shoot", **shot.request([node], format="PNG"))
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        shown = read_png(shot, index).astype(float)
        assert shown[..., 0].mean() > shown[..., 1].mean() + 30, index  # red
        assert (shown.min(axis=2) > 200).sum() > 20, index  # white letters


def test_warnings_of_a_wrong_look_stand_in_the_log(blender: Blender, shot: Shot):
    run = blender("shoot", view="AgX", **shot.request([{"name": "FG"}], size=[64, 64]))
    assert run.exit_code == 0, run.log
    assert "FaceGraft: FG: The view transform is AgX, not Standard" in run.log
    assert "FaceGraft: FG: The clip is 160x96 px, the render 64x64" in run.log


HOST = 10  # of mask_mode


def test_the_mask_input_is_the_hosts_matte(blender: Blender, shot: Shot):
    """A colour that enters a value counts by the mean of its channels, as everywhere in Blender."""
    sockets = {**HARD_SOCKETS, "Mask mode": HOST}
    node = {"name": "FG", "params": sockets, "links": {"Mask": "source"}}
    run = blender("shoot", **shot.request([node]))
    assert run.exit_code == 0, run.log
    for index in range(FRAMES - 1):
        matte = linear_source(shot, index).mean(axis=2)
        expected = shot.expected(
            index, {**HARD, "mask_mode": "host"}, extras=FrameExtras(host_matte=matte)
        )
        assert 0.05 < expected.matte.max() < 1
        got = read_exr(shot, index)[..., :3]
        assert np.abs(got - linear(expected.result)).max() < LINEAR_ERROR, index


def test_mask_mode_host_without_a_picture_says_so(blender: Blender, shot: Shot):
    node = {"name": "FG", "params": {"Mask mode": HOST}}
    run = blender("shoot", **shot.request([node], format="PNG"))
    assert "mask mode host needs a picture in Mask" in run.log
    assert np.array_equal(read_png(shot, 1), shot.frames[1])


def test_xseg_without_its_model_says_so(blender: Blender, shot: Shot):
    run = blender("shoot", **shot.request([{"name": "FG", "params": {"Mask mode": 6}}], frames=1))
    assert "give an XSeg model" in run.answer["statuses"]["FG"]["message"], run.log


def test_what_the_node_cannot_do_in_one_frame_stands_in_its_status(blender: Blender, shot: Shot):
    node = {"name": "FG", "params": {"Steady color": 3.0}}
    run = blender("shoot", **shot.request([node], frames=2))
    assert run.exit_code == 0, run.log
    (note,) = run.answer["statuses"]["FG"]["notes"]
    assert "smooth_color needs a whole clip" in note
    assert run.log.count(note) == 2  # in the log once, and in the answer


@pytest.mark.parametrize(
    ("choice", "swapped"), [("largest:1", True), ("left:1", True), ("track:9", False)]
)
def test_the_choice_of_faces_is_the_command_lines(
    blender: Blender, shot: Shot, choice: str, swapped: bool
):
    node = {"name": "FG", "params": HARD_SOCKETS, "settings": {"choice": choice}}
    run = blender("shoot", **shot.request([node], frames=1))
    assert run.exit_code == 0, run.log
    expected = shot.expected(0, HARD).result if swapped else shot.frames[0] / np.float32(255)
    assert np.abs(read_exr(shot, 0)[..., :3] - linear(expected)).max() < LINEAR_ERROR


def test_a_choice_that_cannot_be_read_is_an_error(blender: Blender, shot: Shot):
    node = {"name": "FG", "settings": {"choice": "biggest"}}
    run = blender("shoot", **shot.request([node], frames=1))
    assert "faces are chosen by 'biggest'" in run.answer["statuses"]["FG"]["message"]


def test_a_click_and_the_track_list_choose_the_face(blender: Blender, shot: Shot):
    """The shot's face is at (60, 55) of 160x96 px; the viewer may show a larger picture."""
    places = [[[60, 55], [160, 96]], [[60 + 20, 55 + 2], [200, 100]], [[150, 5], [160, 96]]]
    buttons = [[3, False], [5, True], [3, True], [5, True]]
    run = blender("pick", **shot.request([{"name": "FG"}], places=places, buttons=buttons))
    assert run.exit_code == 0, run.log
    first, same, nothing = run.answer["choices"]
    assert nothing is None and first == same
    kind, _, point = first.partition(":")
    assert kind == "near"  # the shot's faces belong to no track
    x, y = (float(v) for v in point.split(","))
    assert abs(x * 160 - 60) < 6 and abs(y * 96 - 55) < 10
    assert run.answer["buttons"] == ["track:3", "track:3,5", "track:5", "all"]
    assert [len(face["landmarks"]) for face in run.answer["faces"]] == [68]


@pytest.fixture
def walking(tmp_path: Path) -> Shot:
    """Four frames of a real face (NASA's public-domain portrait) that moves 6 px a frame."""
    data = pytest.importorskip("skimage.data")
    try:
        FaceDetector()
    except MissingWeights as error:
        pytest.skip(f"no detector: {error}")
    still = np.ascontiguousarray(data.astronaut()[:256, 60:400])
    frames = [np.ascontiguousarray(still[:, 40 - 6 * i : 296 - 6 * i]) for i in range(4)]
    for i, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"src_{i + 1:04d}.png"), frame[..., ::-1])
    model = write_dfm(tmp_path / "negative.dfm", 128, (-1, -1, -1), (1, 1, 1))
    return Shot(tmp_path, frames, Path(), model)


def test_tracked_faces_have_numbers_and_the_motion_that_blurs_them(blender: Blender, walking: Shot):
    node = {"name": "FG", "faces": "", "params": {"Transfer mode": 0, "Motion blur": 100.0}}
    request = walking.request([node], size=[256, 256], options={"steady": 0.5})
    run = blender("track", **request)
    assert run.exit_code == 0, run.log
    assert "save the .blend file first" in run.answer["unsaved"]
    assert run.answer["result"] == ["FINISHED"], run.log
    path = Path(run.answer["path"])
    assert path.parent == walking.folder and path.name == "shot.FaceGraft.tracks.json"
    clip = load_tracks(path, 256, 256)
    (track,) = clip.tracks()
    assert track.indices == (0, 1, 2, 3)
    model = SwapModel.open(walking.model)
    params = MergeParams(color_transfer=ColorTransfer.NONE, motion_blur=100.0)
    for index in range(4):
        faces = clip.at(index)
        (motion,) = motions(clip.at(index - 1), faces, clip.at(index + 1))
        assert motion is not None and abs(motion[0] - 6) < 1 and abs(motion[1]) < 1
        image = walking.frames[index].astype(np.float32) / 255
        extras = FrameExtras(faces=[FaceExtras(motion=motion)])
        expected = merge_frame(image, faces, model, params, extras).result
        got = read_exr(walking, index)[..., :3]
        assert np.abs(got - linear(expected)).max() < LINEAR_ERROR, index
    (face,) = run.answer["statuses"]["FG"]["shown"]
    assert face["track"] == track.number
    _assert_the_command_line_gives_the_same(walking, path, {"motion-blur": "100"})


def _assert_the_command_line_gives_the_same(shot: Shot, tracks: Path, options: dict[str, str]):
    out = shot.folder / "cli"
    arguments = ["merge", str(shot.folder / "src_####.png"), str(out), "--model", str(shot.model)]
    arguments += ["--faces", str(tracks), "--color-transfer", "none"]
    arguments += [part for name, value in options.items() for part in (f"--{name}", value)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    pictures = sorted(out.glob("*.png"))
    assert len(pictures) == len(shot.frames)
    for index, path in enumerate(pictures):
        theirs = cv2.imread(str(path))
        assert theirs is not None
        ours = np.clip(srgb_encode(read_exr(shot, index)[..., :3]), 0, 1) * 255
        assert np.abs(theirs[..., ::-1] - ours).max() <= 1, index
