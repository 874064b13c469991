"""What is reported of a clip's faces, and the sheets that show it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facegraft.faces.face import Face
from facegraft.faces.faceset import Faceset
from facegraft.faces.track import track_faces
from facegraft.media.open import open_source
from facegraft.merge.clip.faces import ClipFaces, clip_faces
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.sheets import TILE, face_picture, picture_sheet, suspicion_sheet
from facegraft.merge.clip.steady import steadied
from facegraft.merge.clip.suspicious import Reason, accelerations, find_suspicious, write_report
from facegraft.merge.clip.track_list import list_tracks, track_sheet
from tests.drawn_faces import SKIN, draw_face, face_at
from tests.engine.merge_clips import frames_with_faces, make_faceset, write_sequence
from tests.synthetic import picture

COUNT = 24


@pytest.fixture(scope="module")
def plates(tmp_path_factory) -> Path:
    images = []
    for i in range(COUNT):
        image = picture(200, 150)
        draw_face(image, 80 + i, 75, 60)
        images.append(image)
    return write_sequence(tmp_path_factory.mktemp("clip") / "plates", images)


def moving(i: int, size: float = 60.0, dx: float = 0.0, score: float = 0.9) -> Face:
    """A face on its way, with a network's jitter of a quarter pixel."""
    face = face_at(80 + i + dx, 75, size)
    noise = np.random.default_rng(i).normal(0, 0.25, (68, 2)).astype(np.float32)
    return replace(face, landmarks=face.landmarks + noise, score=score)


def clip_of(frames: list[list[Face]]) -> ClipFaces:
    return clip_faces(dict(enumerate(track_faces(frames))))


def reasons(plates: Path, frames: list[list[Face]], params: ClipParams | None = None):
    with open_source(plates) as source:
        found = find_suspicious(clip_of(frames), source, range(COUNT), params or ClipParams())
    return [(s.reason, s.first, s.last) for s in found]


def test_a_quiet_clip_gives_nothing(plates):
    assert reasons(plates, [[moving(i)] for i in range(COUNT)]) == []


def test_accelerations_are_second_differences_by_size():
    frames = [[face_at(80 + i * i, 75, 60)] for i in range(5)]
    (track,) = clip_of(frames).tracks()
    size = face_at(80, 75, 60).size_px
    assert accelerations(track) == pytest.approx({i: 2 / size for i in (1, 2, 3)}, rel=1e-3)


def test_one_wrong_frame_is_one_jump_and_told_by_its_name(plates):
    frames = [[moving(i, dx=9.0 if i == 11 else 0.0)] for i in range(COUNT)]
    assert reasons(plates, frames) == [(Reason.JUMP, 11, 11)]
    with open_source(plates) as source:
        (found,) = find_suspicious(clip_of(frames), source, range(COUNT), ClipParams())
    assert found.frame == "shot.1012"
    assert "track 0 jump" in found.sentence
    assert reasons(plates, frames, ClipParams(report_jump=100.0)) == []


def test_a_restless_head_is_judged_by_its_own_restlessness(plates):
    frames = [[moving(i, dx=4.0 * (i % 2))] for i in range(COUNT)]
    assert reasons(plates, frames) == []


def test_frames_without_a_face_are_one_run_and_the_doubtful_are_named(plates):
    frames = [
        [] if 5 <= i < 9 else [moving(i, score=0.3 if i == 15 else 0.9)] for i in range(COUNT)
    ]
    assert reasons(plates, frames) == [(Reason.NO_FACE, 5, 8), (Reason.CONFIDENCE, 15, 15)]


def test_a_held_gap_is_one_run_and_no_longer_without_a_face(plates):
    frames = [[] if 5 <= i < 9 else [moving(i)] for i in range(COUNT)]
    with open_source(plates) as source:
        clip = steadied(clip_of(frames), ClipParams(hold=5))
        found = find_suspicious(clip, source, range(COUNT), ClipParams())
    assert [(s.reason, s.first, s.last) for s in found] == [(Reason.HELD, 5, 8)]
    assert "lost for 4 frames" in found[0].sentence


def test_a_sudden_size_is_reported_with_its_percent(plates):
    frames = [[moving(i, size=60.0 if i < 12 else 75.0)] for i in range(COUNT)]
    found = reasons(plates, frames, ClipParams(report_jump=100.0))
    assert found == [(Reason.SIZE, 12, 12)]
    grows_slowly = [[moving(i, size=60.0 * 1.05**i)] for i in range(COUNT)]
    assert reasons(plates, grows_slowly, ClipParams(report_jump=100.0)) == []


def test_a_head_that_is_turned_at_once_is_reported(plates):
    def rolled(face: Face, degrees: float) -> Face:
        a, middle = np.radians(degrees), face.landmarks.mean(axis=0)
        spin = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]], np.float32)
        return replace(face, landmarks=(face.landmarks - middle) @ spin.T + middle)

    frames = [[rolled(moving(i), 40.0 if i >= 12 else 0.0)] for i in range(COUNT)]
    found = reasons(plates, frames, ClipParams(report_jump=100.0))
    assert (Reason.POSE, 12, 12) in found


def test_only_frames_that_were_asked_for_are_reported(plates):
    frames = [[moving(i, score=0.2)] for i in range(COUNT)]
    with open_source(plates) as source:
        found = find_suspicious(clip_of(frames), source, range(3, 6), ClipParams())
    assert [s.first for s in found] == [3, 4, 5]


def test_the_report_is_json(plates, tmp_path):
    frames = [[moving(i, dx=9.0 if i == 11 else 0.0)] for i in range(COUNT)]
    with open_source(plates) as source:
        found = find_suspicious(clip_of(frames), source, range(COUNT), ClipParams())
    write_report(tmp_path / "report.json", found, "plates")
    values = json.loads((tmp_path / "report.json").read_text())
    assert values["clip"] == "plates"
    (entry,) = values["suspicious"]
    assert (entry["reason"], entry["first"], entry["frame"]) == ("jump", 11, "shot.1012")


def test_the_sheet_shows_each_face_once_with_all_that_was_found(plates):
    frames = [[moving(i, dx=9.0 if i == 11 else 0.0, score=0.2)] for i in (*range(COUNT),)]
    with open_source(plates) as source:
        clip = clip_of(frames)
        found = find_suspicious(clip, source, [10, 11], ClipParams())
        assert len(found) == 3
        sheet = suspicion_sheet(source, clip, found)
    assert sheet.shape[1] == 2 * TILE and sheet.dtype == np.uint8
    tile = sheet[:TILE, TILE : 2 * TILE]
    assert (np.abs(tile.astype(int) - SKIN).max(axis=2) < 12).mean() > 0.1
    text = sheet[TILE:, TILE:]
    assert (text < 128).any()


def test_a_face_is_shown_in_the_middle_with_its_points():
    image = picture(200, 150)
    draw_face(image, 90, 70, 60)
    face = face_at(90, 70, 60)
    shown = face_picture(image, face)
    green = np.argwhere(np.abs(shown.astype(int) - (0, 255, 90)).max(axis=2) < 30)
    assert green.mean(axis=0) == pytest.approx((TILE / 2, TILE / 2), abs=0.15 * TILE)
    x0, y0, x1, y1 = face.box
    assert np.ptp(green, axis=0).max() == pytest.approx(TILE / 1.9, rel=0.06)


def test_pictures_of_any_shape_fit_their_tiles():
    sheet = picture_sheet([(np.zeros((30, 400, 3), np.uint8), "wide"), (picture(20, 90), "tall")])
    assert sheet.shape[1] == 2 * TILE
    black = (sheet[:TILE, :TILE] == 0).all(axis=2)
    assert black.sum() == TILE * round(30 * TILE / 400)


def test_a_facesets_tracks_are_listed_with_a_face_each(tmp_path):
    clip = write_sequence(tmp_path / "plates", frames_with_faces(6))
    faceset = Faceset.open(make_faceset(clip, tmp_path / "faces"))
    (row,) = list_tracks(faceset)
    assert (row.number, row.frame_count, row.first, row.last) == (0, 5, "shot.1001", "shot.1006")
    # x of 60, 64, 68, 76, 80 px in 160; the box of the mean head lies a little off its centre
    assert row.position[0] == pytest.approx(69.6 / 160, abs=0.01)
    assert str(row).startswith("track 0: 5 frames, shot.1001 to shot.1006, ")
    assert track_sheet([row]).shape[1] == TILE
