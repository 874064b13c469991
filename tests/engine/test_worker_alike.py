"""The choice `like:` for one frame: who resembles a picture, with a real tiny network."""

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft.errors import NotAModel, ParameterError, SourceNotFound
from facegraft.faces.face import Face
from facegraft.media.images import write_image
from facegraft.merge.clip.choose import parse_choice
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.params import MergeParams
from facegraft.worker.request import CastEntry, MergeRequest, Resemblance, parse_merge, space_of
from facegraft.worker.service import MergeService, Outcome
from tests.drawn_faces import SKIN, draw_face, face_at
from tests.engine.test_worker_service import SOFT_DISC, SPEC
from tests.engine.tiny_dfm import write_dfm
from tests.engine.tiny_embedder import write_embedder

HEIGHT, WIDTH, PORTRAIT = 160, 320, 140  # px
GREEN = (60, 200, 90)
ADA, BEN = face_at(80, 80, 90), face_at(230.5, 80.5, 70)


class PlacedDetector:
    """Knows where the faces of this shot and its portraits are; counts what it looked at."""

    name = "placed 1"

    def __init__(self) -> None:
        self.looks = 0

    def detect(self, image_u8: np.ndarray, max_faces: int = 0) -> list[Face]:
        self.looks += 1
        found = {WIDTH: [ADA, BEN], PORTRAIT: [face_at(70, 70, 100)]}
        return found.get(image_u8.shape[1], [])


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("alike")
    for name, gain in (("red", 0.5), ("blue", 0.9)):
        write_dfm(
            folder / f"{name}.dfm",
            gain=(gain, 0.6, 0.6), offset=(0.4, 0, 0), mask=SOFT_DISC, dst_mask=SOFT_DISC,
            spec=SPEC,
        )  # fmt: skip
    write_embedder(folder / "mean.onnx")
    write_portrait(folder / "ada.png", SKIN)
    write_portrait(folder / "ben.png", GREEN)
    write_image(folder / "wall.png", np.full((80, 80, 3), 128, np.uint8))
    return folder


def write_portrait(path: Path, color: tuple[int, int, int]) -> None:
    image = np.full((PORTRAIT, PORTRAIT, 3), 128, np.uint8)
    draw_face(image, 70, 70, 100)
    image[(image == SKIN).all(axis=2)] = color
    write_image(path, image)


def frame() -> np.ndarray:
    """(H, W, 4) float32 display-referred: ADA in SKIN, BEN in GREEN."""
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    draw_face(image, 80, 80, 90)
    cv2.circle(image, (230, 80), 35, GREEN, -1)
    rgba = np.ones((HEIGHT, WIDTH, 4), np.float32)
    rgba[..., :3] = image / np.float32(255)
    return rgba


def asked(files: Path, choice: str, least: float = 0.8, **changes) -> MergeRequest:
    values = MergeRequest(
        width=WIDTH, height=HEIGHT, input=0, output=0, space=space_of("display"),
        model=files / "red.dfm", params=MergeParams(), choice=parse_choice(choice),
        resemblance=Resemblance(files / "mean.onnx", least),
    )  # fmt: skip
    return replace(values, **changes)


def chosen(outcome: Outcome) -> list[bool]:
    return [found.chosen for found in outcome.faces]


def test_the_face_that_resembles_the_picture_is_swapped_and_no_other(files):
    service = MergeService(PlacedDetector())
    for name, expected in (("ada", [True, False]), ("ben", [False, True])):
        outcome = service.merge(frame(), asked(files, f"like:{files / name}.png"))
        assert expected == chosen(outcome) and outcome.notes == ()
        x0, _, x1, _ = outcome.roi
        assert (x0 < 160, x1 > 160) == tuple(expected)


def test_where_nobody_resembles_it_a_note_says_how_near_the_nearest_came(files):
    outcome = MergeService(PlacedDetector()).merge(
        frame(), asked(files, f"like:{files}/ada.png", 1.0)
    )
    assert chosen(outcome) == [False, False]
    (note,) = outcome.notes
    assert "ada.png" in note and "1.00 is asked for" in note


def test_a_frame_without_faces_is_no_matter_for_a_note(files):
    empty = asked(files, f"like:{files}/ada.png", faces=[])
    assert MergeService(PlacedDetector()).merge(frame(), empty).notes == ()


def test_what_was_compared_is_kept_until_the_picture_changes(files, tmp_path):
    """A changed control looks at nothing again; a new picture under the same name is read."""
    picture = tmp_path / "who.png"
    write_portrait(picture, SKIN)
    detector = PlacedDetector()
    service = MergeService(detector)
    request = asked(files, f"like:{picture}")
    rgba = frame()
    assert chosen(service.merge(rgba, request)) == [True, False]
    looks = detector.looks
    again = replace(request, params=MergeParams(erode=5.0))
    assert chosen(service.merge(rgba, again)) == [True, False] and detector.looks == looks
    write_portrait(picture, GREEN)
    os.utime(picture, ns=(1, 1))
    assert chosen(service.merge(rgba, request)) == [False, True]


def test_a_cast_gives_models_by_resemblance(files):
    """The entry's face alone, where the frame has no model of its own."""
    entry = CastEntry(parse_choice(f"like:{files}/ben.png"), files / "blue.dfm")
    request = asked(files, "all", model=None, cast=(entry,))
    outcome = MergeService(PlacedDetector()).merge(frame(), request)
    assert chosen(outcome) == [False, True]


def test_what_is_missing_or_no_face_is_named(files):
    service = MergeService(PlacedDetector())
    good = asked(files, f"like:{files}/ada.png")
    for request, kind, text in (
        (replace(good, resemblance=Resemblance()), ParameterError, "face recognition network"),
        (asked(files, f"like:{files}/lost.png"), SourceNotFound, "lost.png"),
        (asked(files, f"like:{files}/wall.png"), ParameterError, "no face is found in"),
        (replace(good, resemblance=Resemblance(files / "none.onnx")), NotAModel, "none.onnx"),
    ):
        with pytest.raises(kind, match=text):
            service.merge(frame(), request)


def message(**changes) -> dict:
    values = {
        "type": "merge", "width": 8, "height": 8, "input": 0, "output": 1024, "color": "display",
        "model": "/m.dfm", "choice": "like:/ada.png",
    }  # fmt: skip
    return {**values, **changes}


def test_a_message_names_the_network_and_the_threshold():
    """Without them there is no network, and the threshold is the command line's."""
    request = parse_merge(message(recognition="/face.onnx", likeness=0.5))
    assert request.resemblance == Resemblance(Path("/face.onnx"), 0.5)
    assert parse_merge(message()).resemblance == Resemblance(None, ClipParams().likeness)
    assert parse_merge(message(recognition="")).resemblance.network is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"choice": "like:ada.png"}, "'ada.png' is relative"),
        ({"cast": [{"choice": "like:ada.png", "model": "/m.dfm"}]}, "'ada.png' is relative"),
        ({"likeness": 1.5}, "likeness"),
        ({"likeness": "much"}, "likeness"),
    ],
)
def test_a_message_that_cannot_be_meant_is_refused(changes, text):
    with pytest.raises(ParameterError, match=text):
        parse_merge(message(**changes))
