"""What the node does over a whole clip and with several models: the command line's pixels.

Each renders a shot in Blender and merges the same pictures by the command line; 8-bit levels.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from facegraft.errors import MissingWeights
from facegraft.faces.detect import FaceDetector
from facegraft.media.images import read_image_file
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.clip.track_file import save_tracks
from facegraft_cli.main import cli
from tests.drawn_faces import draw_face, face_at
from tests.engine.merge_clips import oval_mask
from tests.engine.test_clip_seat import write_shifting_dfm
from tests.engine.tiny_dfm import write_dfm
from tests.engine.tiny_embedder import write_embedder
from tests.host_plugin.conftest import Blender
from tests.host_plugin.shots import HEIGHT, WIDTH, Shot
from tests.host_plugin.test_blender_node import read_png
from tests.synthetic import picture

pytestmark = [pytest.mark.blender, pytest.mark.slow]

COUNT = 5
LIGHT = (0.7, 1.0, 0.85)  # flickers from frame to frame
STEADY = {"Steady color": 4.0, "Steady mask": 2.0, "Mask mode": 1}
STEADY_FLAGS = ["--smooth-color", "4", "--smooth-mask", "2", "--mask-mode", "hull"]


@pytest.fixture
def two(tmp_path: Path) -> Shot:
    """Two drawn people, tracks 1 and 2, who walk in flickering light; and a model that tints."""
    frames, faces = [], {}
    for n in range(COUNT):
        image = picture(WIDTH, HEIGHT, 0.1)
        places = ((40 + 3 * n, 50), (118 - 2 * n, 46))
        for place in places:
            draw_face(image, *place, 36)
        frames.append(np.rint(image * LIGHT[n % 3]).astype(np.uint8))
        cv2.imwrite(str(tmp_path / f"src_{n + 1:04d}.png"), frames[-1][..., ::-1])
        faces[n] = tuple(replace(face_at(*p, 36), track=t) for t, p in enumerate(places, 1))
    save_tracks(tmp_path / "two.tracks.json", ClipFaces(faces), WIDTH, HEIGHT, "drawn 1")
    model = write_dfm(
        tmp_path / "tint.dfm", 64, (0.5, 0.8, 1), (0, 0.2, 0), oval_mask(), oval_mask()
    )
    return Shot(tmp_path, frames, tmp_path / "two.tracks.json", model)


def by_command_line(shot: Shot, *arguments: str, faces: Path | None = None) -> list[np.ndarray]:
    out = shot.folder / "cli"
    words = ["merge", str(shot.folder / "src_####.png"), str(out), *arguments]
    result = CliRunner().invoke(cli, [*words, "--faces", str(faces or shot.faces)])
    assert result.exit_code == 0, result.output
    pictures = sorted(out.glob("*.png"))
    assert len(pictures) == len(shot.frames)
    return [read_image_file(path)[0].astype(int) for path in pictures]


def assert_equal(shot: Shot, expected: list[np.ndarray]) -> None:
    for index, theirs in enumerate(expected):
        assert np.abs(read_png(shot, index) - theirs).max() <= 1, index


def test_steady_colour_and_mask_are_the_command_lines(blender: Blender, two: Shot):
    request = two.request([{"name": "FG", "params": STEADY}], format="PNG")
    run = blender("operate", **request, buttons=[["fit_steady", {}]])
    assert run.exit_code == 0, run.log
    assert run.answer["pressed"] == [["FINISHED"]], run.log
    assert Path(run.answer["fits"]).name == "shot.FaceGraft.steady.zip"
    assert not run.answer["moved"] and run.answer["warnings"] == []
    assert run.answer["statuses"]["FG"]["notes"] == []
    expected = by_command_line(two, "--model", str(two.model), *STEADY_FLAGS)
    assert_equal(two, expected)
    alone = by_command_line(two, "--model", str(two.model), "--mask-mode", "hull")
    assert max(np.abs(a - b).max() for a, b in zip(alone, expected, strict=True)) > 6
    again = blender("render", **files(request), set={"Transfer mode": 2})
    (note,) = again.answer["statuses"]["FG"]["notes"]
    assert "Transfer mode changed since the clip was fitted" in note


def files(request: dict) -> dict:
    return {"blend": request["blend"], "output": request["output"]}


def test_steady_rows_without_a_fit_say_which_button_helps(blender: Blender, two: Shot):
    detected = {"name": "FG", "params": STEADY, "faces": ""}
    request = two.request([detected], format="PNG", frames=1)
    run = blender("operate", **request, buttons=[["fit_steady", {}], ["seat_face", {}]])
    assert run.exit_code == 0, run.log
    assert all("press Track Faces first" in text for text in run.answer["pressed"])
    assert "Steady color does nothing until the clip is fitted: press Fit Steady" in "\n".join(
        run.answer["warnings"]
    )


def test_a_pass_that_is_stopped_changes_and_leaves_nothing(blender: Blender, two: Shot):
    before = {path.name for path in two.folder.iterdir()}
    run = blender("stop", **two.request([{"name": "FG", "params": STEADY}]))
    assert run.exit_code == 0, run.log
    assert run.answer["lines"] == ["fits frame 1", "fits frame 2", "looks at frame 1"]
    assert run.answer["fits"] == "" and run.answer["seat"] == [0, 0, 0, 0]
    assert run.answer["scenes"] == ["Scene"] and run.answer["scratch"] == []
    assert {path.name for path in two.folder.iterdir()} - before == {"shot.blend"}


@pytest.mark.parametrize("others", ["left alone", "the node's model"])
def test_a_cast_gives_each_track_its_own_model_as_on_the_command_line(
    blender: Blender, two: Shot, others: str
):
    blue = write_dfm(two.folder / "blue.dfm", 64, (0.3, 0.3, 0.3), (0, 0, 0.7), oval_mask())
    own = "" if others == "left alone" else str(two.model)
    cast = [{"choice": "track:2", "model_path": str(blue)}]
    flags = [] if own == "" else ["--model", own]
    node = {"name": "FG", "model": own, "cast": cast, "params": {"Transfer mode": 0}}
    run = blender("shoot", **two.request([node], format="PNG"))
    assert run.exit_code == 0, run.log
    expected = by_command_line(two, "--cast", f"2={blue}", "--color-transfer", "none", *flags)
    assert_equal(two, expected)
    left = np.abs(read_png(two, 0).astype(int) - two.frames[0])[:, :70].max()
    assert left == 0 if own == "" else left > 20
    assert np.abs(read_png(two, 0).astype(int) - two.frames[0])[:, 90:].max() > 20


def test_the_largest_person_stays_the_largest_through_the_clip(blender: Blender, two: Shot):
    """Who is larger in one frame alone, such as by a miss of the detector, is not swapped there."""
    sizes = (30, 30, 46, 30, 30)
    faces = {
        n: (
            replace(face_at(40 + 3 * n, 50, 36), track=1),
            replace(face_at(118 - 2 * n, 46, sizes[n]), track=2),
        )
        for n in range(COUNT)
    }
    tracks = two.folder / "sizes.tracks.json"
    save_tracks(tracks, ClipFaces(faces), WIDTH, HEIGHT, "drawn 1")
    node = {"name": "FG", "faces": str(tracks), "settings": {"choice": "largest:1"}}
    node["params"] = {"Transfer mode": 0}
    run = blender("shoot", **two.request([node], format="PNG"))
    assert run.exit_code == 0, run.log
    flags = ["--choose", "largest:1", "--color-transfer", "none", "--model", str(two.model)]
    assert_equal(two, by_command_line(two, *flags, faces=tracks))
    assert np.array_equal(read_png(two, 2)[:, 90:], two.frames[2][:, 90:])


def test_a_cast_without_a_model_is_an_error_and_buttons_change_it(blender: Blender, two: Shot):
    buttons = [["add_cast", {}], ["add_cast", {}], ["remove_cast", {"index": 0}]]
    run = blender("operate", **two.request([{"name": "FG"}], frames=1), buttons=buttons)
    assert run.exit_code == 0, run.log
    assert run.answer["cast"] == [["left:2", ""]]
    message = run.answer["statuses"]["FG"]["message"]
    assert "the cast has an entry without Who or Model" in message


@pytest.fixture
def walking(tmp_path: Path) -> Shot:
    """Four frames of a real face (NASA's public-domain portrait) that moves 6 px a frame, and a
    model that lays it 3 px to the right of where it is, 4 px too low."""
    data = pytest.importorskip("skimage.data")
    try:
        FaceDetector()
    except MissingWeights as error:
        pytest.skip(f"no detector: {error}")
    still = np.ascontiguousarray(data.astronaut()[:256, 60:400])
    frames = [np.ascontiguousarray(still[:, 40 - 6 * i : 296 - 6 * i]) for i in range(4)]
    for i, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"src_{i + 1:04d}.png"), frame[..., ::-1])
    return Shot(tmp_path, frames, Path(), write_shifting_dfm(tmp_path / "shift.dfm", 3, 4))


@pytest.mark.parametrize("own", [True, False], ids=["own model", "in the cast"])
def test_a_seated_face_lies_where_the_command_line_seats_it(
    blender: Blender, walking: Shot, own: bool
):
    model = str(walking.model)
    node = {"name": "FG", "faces": "", "params": {"Transfer mode": 0}}
    if not own:
        node |= {"model": "", "cast": [{"choice": "all", "model_path": model}]}
    request = walking.request([node], format="PNG", size=[256, 256])
    run = blender("operate", **request, buttons=[["track_faces", {}], ["seat_face", {}]])
    assert run.exit_code == 0, run.log
    assert run.answer["pressed"] == [["FINISHED"], ["FINISHED"]], run.log
    assert "seat of shift.dfm, from 4 frames" in run.log
    x, y, *_ = run.answer["seats"][0 if own else 1]
    assert x == pytest.approx(-1000 * 3 / 128, abs=8) and y == pytest.approx(-1000 * 4 / 128, abs=8)
    flags = ["--model", model] if own else ["--cast", f"0={model}"]
    tracks = Path(run.answer["faces"])
    expected = by_command_line(walking, *flags, "--color-transfer", "none", "--seat", faces=tracks)
    assert_equal(walking, expected)


@pytest.mark.parametrize(("likeness", "swapped"), [(0.5, True), (1.0, False)])
def test_who_resembles_a_picture_is_chosen_as_on_the_command_line(
    blender: Blender, walking: Shot, likeness: float, swapped: bool
):
    """By a network whose vector is the mean colour; the picture is named beside the .blend file."""
    network = write_embedder(walking.folder / "mean.onnx")
    picture_path = walking.folder / "ada.png"
    brighter = np.clip(walking.frames[0] * (1.1, 1.0, 0.9), 0, 255).astype(np.uint8)
    cv2.imwrite(str(picture_path), brighter[..., ::-1])
    settings = {
        "choice": "like://ada.png", "recognition_path": str(network), "likeness": likeness,
    }  # fmt: skip
    node = {"name": "FG", "faces": "", "params": {"Transfer mode": 0}, "settings": settings}
    request = walking.request([node], format="PNG", size=[256, 256])
    run = blender("operate", **request, buttons=[["track_faces", {}]])
    assert run.exit_code == 0, run.log
    (face,) = run.answer["statuses"]["FG"]["shown"]
    assert face["chosen"] == swapped
    flags = ["--model", str(walking.model), "--color-transfer", "none", "--choose"]
    flags += [f"like:{picture_path}", "--recognition", str(network), "--likeness", str(likeness)]
    assert_equal(walking, by_command_line(walking, *flags, faces=Path(run.answer["faces"])))
    assert (np.abs(read_png(walking, 0).astype(int) - walking.frames[0]).max() > 20) == swapped
