"""The FaceGraft node in the real Blender, installed from its zip, with the real engine process.

The reference is the engine's own `merge_frame`, run here on the source's pixels. Blender's decoding
of a PNG to scene linear and the engine's way back to display agree to a few millionths, and the
merge's resampling does not amplify that: EXR results are held to LINEAR_ERROR, 8-bit ones to one
level. Where the matte is 0 the source must come back to the bit.
"""

import os
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from facegraft.controls import controls_of
from facegraft.media.color import srgb_decode, srgb_encode
from facegraft.merge.params import MergeParams
from tests.host_plugin.conftest import Blender
from tests.host_plugin.shots import FRAMES, HEIGHT, WIDTH, Shot

pytestmark = [pytest.mark.blender, pytest.mark.slow]

LINEAR_ERROR = 1e-4  # scene linear, 0..1; an 8-bit level is 4e-3 at white and 3e-4 at black
HARD = {"color_transfer": "none", "mask_mode": "learned_prd"}  # a plain, strong change
HARD_SOCKETS = {"Transfer mode": 0, "Mask mode": 2}


def read_exr(shot: Shot, index: int) -> np.ndarray:
    """(H, W, 4) float32 of a rendered frame, scene linear."""
    from facegraft_blender import exr

    return exr.read_rgba(shot.folder / f"out_{index + 1:04d}.exr")


def read_png(shot: Shot, index: int) -> np.ndarray:
    image = cv2.imread(str(shot.folder / f"out_{index + 1:04d}.png"), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image[..., ::-1]


def linear(image: np.ndarray) -> np.ndarray:
    return srgb_decode(image.astype(np.float32))


def linear_source(shot: Shot, index: int) -> np.ndarray:
    return linear(shot.frames[index] / np.float32(255))


@pytest.fixture
def plain(blender: Blender, shot: Shot):
    """Render the shot without any node: what Blender itself makes of the source."""

    def render() -> list[np.ndarray]:
        request = shot.request([], result=["source", "Image"])
        run = blender("shoot", **request)
        assert run.exit_code == 0, run.log
        return [read_exr(shot, i) for i in range(FRAMES)]

    return render


def test_the_node_shows_every_row_of_the_table_in_order_with_its_range(blender: Blender):
    node = blender("describe").answer
    rows = controls_of(MergeParams)
    sockets = node["inputs"]
    assert [s["name"] for s in sockets] == ["Image", "Mask", *[r.control.label for r in rows]]
    assert not any(socket["greyed"] for socket in sockets)
    for socket, row in zip(sockets[2:], rows, strict=True):
        if row.choices:
            assert socket["default"] == row.choices.index(row.default)
            assert socket["range"] == [0, len(row.choices) - 1]
            assert all(name.replace("_", " ") in socket["description"] for name in row.choices)
        else:
            assert socket["default"] == pytest.approx(row.default)
            if row.slider is not None:
                assert socket["range"] == pytest.approx(list(row.slider))
            assert row.describe_range() in socket["description"]
        assert row.control.help in socket["description"]
        assert socket["keyed"]
    assert node["outputs"] == ["Image", "Matte", "Face Layer"]
    shown = [label for labels in node["panels"].values() for label in labels]
    assert shown == [r.control.label for r in rows]
    assert list(node["panels"]) == list(dict.fromkeys(r.control.group for r in rows))


def test_keyed_mix_changes_the_right_frames_by_the_amount_the_engine_computes(
    blender: Blender, shot: Shot, plain
):
    sources = plain()
    keys = {"Mix": [[1, 0.0], [FRAMES, 1.0]]}
    run = blender("shoot", **shot.request([{"name": "FG", "params": HARD_SOCKETS, "keys": keys}]))
    assert run.exit_code == 0, run.log
    changes = []
    for index in range(FRAMES):
        got = read_exr(shot, index)
        mix = index / (FRAMES - 1)
        expected = shot.expected(index, {**HARD, "mix": mix})
        assert np.abs(got[..., :3] - linear(expected.result)).max() < LINEAR_ERROR, index
        untouched = expected.matte == 0
        assert np.array_equal(got[untouched], sources[index][untouched])
        changes.append(float(np.abs(got - sources[index]).max()))
    assert changes[0] == 0 and changes[-1] == 0  # mix 0, and a frame without a face
    assert 0.05 < changes[1] < changes[2] < changes[3]
    assert "FaceGraft: frame 5: FG: no face in this frame" in run.log
    assert run.log.count("no face in this frame;") == 2  # in the log, and in the panel's status


def test_mix_0_gives_the_source_back_exactly_as_png(blender: Blender, shot: Shot):
    request = shot.request([{"name": "FG", "params": {"Mix": 0.0}}], format="PNG")
    run = blender("shoot", **request)
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        assert np.array_equal(read_png(shot, index), shot.frames[index]), index


def test_png_sequence_is_the_engines_result_to_one_level(blender: Blender, shot: Shot):
    sockets = {"Erode": 120.0, "Blur": 60.0, "Face scale": 10.0, "Mask mode": 1}
    params = {"erode": 120.0, "blur": 60.0, "face_scale": 10.0, "mask_mode": "hull"}
    run = blender("shoot", **shot.request([{"name": "FG", "params": sockets}], format="PNG"))
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        expected = np.clip(shot.expected(index, params).result, 0, 1) * 255
        assert np.abs(read_png(shot, index) - expected).max() <= 1, index


@pytest.mark.parametrize("output", ["Matte", "Face Layer"])
def test_matte_and_face_layer_are_the_engines(blender: Blender, shot: Shot, output: str):
    nodes = [{"name": "FG", "params": HARD_SOCKETS}]
    run = blender("shoot", **shot.request(nodes, result=["FG", output]))
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        got, expected = read_exr(shot, index), shot.expected(index, HARD)
        if output == "Matte":
            assert np.abs(got[..., 0] - expected.matte).max() < 1e-6, index
        else:
            assert np.abs(got[..., 3] - expected.matte).max() < 1e-6, index
            kept = linear_source(shot, index) * (1 - expected.matte[..., None])
            composed = got[..., :3] + kept
            assert np.abs(composed - linear(expected.result)).max() < LINEAR_ERROR, index


def test_in_a_chain_the_second_node_receives_the_firsts_result(blender: Blender, shot: Shot):
    half = {**HARD_SOCKETS, "Mix": 0.5}
    nodes = [
        {"name": "First", "params": half},
        {"name": "Second", "from": "First", "params": HARD_SOCKETS},
    ]
    run = blender("shoot", **shot.request(nodes))
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        first = shot.expected(index, {**HARD, "mix": 0.5}).result
        second = shot.expected(index, HARD, image=first).result
        assert np.abs(read_exr(shot, index)[..., :3] - linear(second)).max() < LINEAR_ERROR, index


def test_two_nodes_side_by_side_keep_their_own_values(blender: Blender, shot: Shot):
    nodes = [
        {"name": "Left", "params": {**HARD_SOCKETS, "Mix": 1.0}},
        {"name": "Right", "params": {**HARD_SOCKETS, "Mix": 0.25}},
    ]
    run = blender("shoot", **shot.request(nodes, result=["Left", "Right"]))
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        both = [shot.expected(index, {**HARD, "mix": mix}).result for mix in (1.0, 0.25)]
        mean = (linear(both[0]) + linear(both[1])) / 2
        assert np.abs(read_exr(shot, index)[..., :3] - mean).max() < LINEAR_ERROR, index


def test_a_duplicated_node_shows_its_own_face(blender: Blender, shot: Shot):
    """Duplicating shares group and layer; at the render each node gets its own."""
    nodes = [
        {"name": "Left", "params": {**HARD_SOCKETS, "Mix": 1.0}},
        {"name": "Right", "duplicate_of": "Left", "params": {**HARD_SOCKETS, "Mix": 0.25}},
    ]
    run = blender("shoot", **shot.request(nodes, result=["Left", "Right"]))
    assert run.exit_code == 0, run.log
    both = [shot.expected(1, {**HARD, "mix": mix}).result for mix in (1.0, 0.25)]
    mean = (linear(both[0]) + linear(both[1])) / 2
    assert np.abs(read_exr(shot, 1)[..., :3] - mean).max() < LINEAR_ERROR


def test_the_model_sees_the_graded_picture_that_enters_the_node(blender: Blender, shot: Shot):
    """With a keyed Exposure upstream that doubles the light of the first frame."""
    request = shot.request(
        [{"name": "FG", "params": HARD_SOCKETS}], exposure_keys=[[1, 1.0], [FRAMES, 0.0]]
    )
    run = blender("shoot", **request)
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        light = 2 ** (1 - index / (FRAMES - 1))
        graded = linear_source(shot, index) * np.float32(light)
        expected = linear(shot.expected(index, HARD, image=srgb_encode(graded)).result)
        error = np.abs(read_exr(shot, index)[..., :3] - expected).max()
        assert error < 2 * LINEAR_ERROR, index  # the grade doubles Blender's decoding error too


def test_a_render_leaves_no_scene_group_key_or_file_behind(blender: Blender, shot: Shot):
    keys = {"Mix": [[1, 0.0], [FRAMES, 1.0]], "Erode": [[1, 0.0], [3, 50.0]]}
    request = shot.request([{"name": "FG", "keys": keys}], exposure_keys=[[1, 0.5], [3, 0.0]])
    run = blender("shoot", **request)
    assert run.exit_code == 0, run.log
    assert run.answer["scenes"] == ["Scene"]
    assert run.answer["groups"] == ["Compositor", "FaceGraft"]
    assert [count for _, count in sorted(run.answer["curves"])] == [2, 2, 2]
    assert run.answer["scratch"] == []


def test_movie_export_has_every_frame_and_the_sound(blender: Blender, shot: Shot):
    sound = shot.folder / "tone.wav"
    seconds = 1.0
    _write_tone(sound, seconds)
    request = shot.request(
        [{"name": "FG", "params": HARD_SOCKETS}],
        format="MP4",
        audio=str(sound),
        output=str(shot.folder / "movie.mp4"),
    )
    run = blender("shoot", **request)
    assert run.exit_code == 0, run.log
    with av.open(str(shot.folder / "movie.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.average_rate == 25
        assert audio.codec_context.sample_rate == 48000
        pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video)]
    with av.open(str(shot.folder / "movie.mp4")) as container:
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    assert len(pictures) == FRAMES
    for index, picture in enumerate(pictures):
        expected = np.clip(shot.expected(index, HARD).result, 0, 1) * 255
        # lossless yuv444: what remains is the rounding of RGB to YUV and back
        assert np.abs(picture - expected).mean() < 1.5, index
    assert len(heard) / 48000 == pytest.approx(FRAMES / 25, abs=0.05)  # AAC pads by a frame or two
    spectrum = np.abs(np.fft.rfft(heard[2000:8000]))
    assert np.argmax(spectrum) * 48000 / 6000 == pytest.approx(440, abs=10)


def _write_tone(path: Path, seconds: float) -> None:
    time = np.arange(int(48000 * seconds)) / 48000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes((np.sin(2 * np.pi * 440 * time) * 12000).astype("<i2").tobytes())


def test_without_the_add_on_a_saved_file_shows_its_source(blender: Blender, shot: Shot, plain):
    sources = plain()
    request = shot.request([{"name": "FG", "params": HARD_SOCKETS}])
    run = blender("shoot", **request)
    assert run.exit_code == 0, run.log
    assert os.path.getsize(request["blend"]) < 400_000  # the layer's pixels are not in the file
    assert np.abs(read_exr(shot, 1) - sources[1]).max() > 0.05
    run = blender("render", addon=False, blend=request["blend"], output=request["output"])
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        assert np.array_equal(read_exr(shot, index), sources[index]), index


@pytest.mark.parametrize(
    ("node", "engine", "message"),
    [
        ({"model": "/nowhere/gone.dfm"}, None, "gone.dfm"),
        ({"model": ""}, None, "no model is chosen"),
        ({"faces": "/nowhere/faces"}, None, "no faces at /nowhere/faces"),
        ({}, "/nowhere/python", "/nowhere/python"),
    ],
    ids=["missing model", "no model", "missing faces", "no engine"],
)
def test_an_error_is_said_and_the_source_passes_through(
    blender: Blender, shot: Shot, node: dict, engine: str | None, message: str
):
    request = shot.request([{"name": "FG", **node}], format="PNG")
    if engine is not None:
        request["engine"] = engine
    run = blender("shoot", **request)
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        assert f"FaceGraft: frame {index + 1}: FG: " in run.log
        assert np.array_equal(read_png(shot, index), shot.frames[index]), index
    status = run.answer["statuses"]["FG"]
    assert status["outcome"] == "error" and message in status["message"]


def test_by_option_an_error_ends_a_background_render_with_exit_code_3(blender: Blender, shot: Shot):
    node = {"name": "FG", "model": "/nowhere/gone.dfm", "on_error": "FAIL"}
    run = blender("shoot", **shot.request([node]))
    assert run.exit_code == 3
    assert "FaceGraft: frame 1: FG: " in run.log and "gone.dfm" in run.log
    assert not (shot.folder / "out_0001.exr").exists()


@pytest.mark.parametrize(("on_error", "code"), [("FAIL", 0), ("STRICT", 3)])
def test_a_frame_without_a_face_is_an_error_only_by_option(
    blender: Blender, shot: Shot, on_error: str, code: int
):
    run = blender("shoot", **shot.request([{"name": "FG", "on_error": on_error}]))
    assert run.exit_code == code
    assert "frame 5: FG: no face in this frame" in run.log
    assert (shot.folder / "out_0005.exr").exists() == (code == 0)
    assert (shot.folder / "out_0004.exr").exists()


def test_a_killed_engine_is_started_again_and_no_frame_is_lost(blender: Blender, shot: Shot):
    request = shot.request([{"name": "FG", "params": HARD_SOCKETS}], kill_engine_before=3)
    run = blender("shoot", **request)
    assert run.exit_code == 0, run.log
    assert "starting it again" in run.log
    for index in range(FRAMES):
        expected = linear(shot.expected(index, HARD).result)
        assert np.abs(read_exr(shot, index)[..., :3] - expected).max() < LINEAR_ERROR, index


def test_our_exr_reader_reads_what_blender_reads(blender: Blender, shot: Shot):
    assert blender("shoot", **shot.request([], result=["source", "Image"])).exit_code == 0
    file = str(shot.folder / "out_0001.exr")
    addon = str(Path(__file__).resolve().parents[2] / "host_plugin")
    answer = blender("exr_pixels", file=file, path=[addon]).answer
    assert answer["equal"] and answer["spread"] > 0.1
    assert read_exr(shot, 0).shape == (HEIGHT, WIDTH, 4)
