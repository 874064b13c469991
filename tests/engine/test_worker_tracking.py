"""Faces followed through frames that come one by one, with a detector for drawn discs."""

from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import ParameterError
from facegraft.media.working_space import open_space
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.track_file import load_tracks
from facegraft.worker.tracking import Tracker, thumbnail
from tests.drawn_faces import DiscDetector, draw_face, face_at

HEIGHT, WIDTH = 90, 160


def picture(*places: tuple[float, float], ground: int = 40) -> np.ndarray:
    """(H, W, 3) uint8 with a face of 30 px at each place."""
    image = np.full((HEIGHT, WIDTH, 3), ground, np.uint8)
    image[:, ::16] = 90
    for x, y in places:
        draw_face(image, x, y, 30)
    return image


def search(tracker: Tracker, index: int, image: np.ndarray) -> None:
    size = (image.shape[1], image.shape[0])
    tracker.add(index, DiscDetector().detect(image), image, size)


def test_two_people_keep_their_numbers_through_the_file(tmp_path: Path):
    tracker = Tracker("disc 1")
    for i in range(6):
        search(tracker, i, picture((40 + 2 * i, 45), (120, 40 + 2 * i)))
    report = tracker.save(tmp_path / "x.json", ClipParams(steady=0))
    assert (report.frames, report.frames_without_face, report.tracks) == (6, 0, 2)
    clip = load_tracks(tmp_path / "x.json", WIDTH, HEIGHT)
    for i in range(6):
        left, right = sorted(clip.at(i), key=lambda face: face.box[0])
        assert {left.track, right.track} == {0, 1} and left.track == clip_left(clip)
        expected = face_at(40 + 2 * i, 45, 30).landmarks
        assert np.abs(left.landmarks - expected).max() < 1.0  # the disc's centre to a pixel


def clip_left(clip) -> int:
    return min(clip.at(0), key=lambda face: face.box[0]).track


def test_a_frame_without_a_face_is_counted_and_held_by_option(tmp_path: Path):
    tracker = Tracker("disc 1")
    for i in range(5):
        search(tracker, i, picture(*([] if i == 2 else [(40 + 4 * i, 45)])))
    assert tracker.save(tmp_path / "x.json", ClipParams(hold=0)).frames_without_face == 1
    assert load_tracks(tmp_path / "x.json", WIDTH, HEIGHT).at(2) == ()
    assert tracker.save(tmp_path / "y.json", ClipParams(hold=2)).frames_without_face == 0
    (held,) = load_tracks(tmp_path / "y.json", WIDTH, HEIGHT).at(2)
    assert held.held and held.track == 0
    assert np.abs(held.landmarks - face_at(48, 45, 30).landmarks).max() < 1.5


def test_a_cut_ends_every_track(tmp_path: Path):
    tracker = Tracker("disc 1")
    search(tracker, 0, picture((40, 45)))
    search(tracker, 1, picture((40, 45)))
    night = 255 - picture((40, 45), ground=255)
    night[:, : WIDTH // 2] = 250
    draw_face(night, 40, 45, 30)
    search(tracker, 2, night)
    assert tracker.save(tmp_path / "x.json", ClipParams()).tracks == 2


def test_what_is_no_clip_is_refused(tmp_path: Path):
    tracker = Tracker("disc 1")
    with pytest.raises(ParameterError, match="no frame was searched"):
        tracker.save(tmp_path / "x.json", ClipParams())
    search(tracker, 3, picture((40, 45)))
    with pytest.raises(ParameterError, match="frame 3 comes after 3"):
        search(tracker, 3, picture((40, 45)))
    with pytest.raises(ParameterError, match="160x45 px, those before were 160x90"):
        search(tracker, 4, picture((40, 45))[: HEIGHT // 2])


def test_a_small_picture_is_the_frame_as_it_is_shown():
    rgba = np.zeros((300, 600, 4), np.float32)
    rgba[..., :3], rgba[..., 3] = 0.5 * 0.25, 0.25  # premultiplied middle grey
    small = thumbnail(rgba, open_space("linear_rec709"))
    assert small.shape == (128, 256, 3)
    assert np.abs(small.astype(int) - 188).max() <= 1  # sRGB's code for half the light
