"""Extraction on drawn clips: what is found, named, resumed and reported."""

import json
from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import Cancelled, ParameterError
from facegraft.extract import ExtractParams, extract_faces, thinned_indices
from facegraft.faces.align import align_matrix, transform_points
from facegraft.faces.faceset import Faceset, read_image
from facegraft.media.open import open_source
from facegraft.model_spec import FaceType
from facegraft.progress import Silent
from tests.drawn_faces import SKIN, DiscDetector, draw_face
from tests.synthetic import make_clip

SMALL = ExtractParams(image_size=64, face_type=FaceType.FULL)


def clip_with_faces(path: Path, count: int = 8, empty: tuple[int, ...] = ()) -> Path:
    """A 160x120 clip: one face walks to the right, a smaller one stands still from frame 4 on."""
    frames = []
    for n in range(count):
        image = np.full((120, 160, 3), 90, np.uint8)
        if n not in empty:
            draw_face(image, 50 + 2 * n, 60, 40)
            if n >= 4:
                draw_face(image, 130, 30, 20)
        frames.append(image)
    make_clip(path, frames, codec="ffv1", pix_fmt="bgr0")
    return path


class StopAfter(Silent):
    """Cancels after so many steps of the first stage, as Ctrl-C would."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.notes: list[str] = []

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= count

    def note(self, text: str) -> None:
        self.notes.append(text)

    @property
    def cancelled(self) -> bool:  # type: ignore[override]
        return self.left <= 0


def test_every_face_is_cut_named_by_frame_and_number_and_reported(tmp_path: Path) -> None:
    clip = clip_with_faces(tmp_path / "clip.mkv", empty=(2,))
    with open_source(clip) as source:
        report = extract_faces(source, tmp_path / "faces", SMALL, DiscDetector())
        third_name = source[2].name
    faceset = Faceset.open(tmp_path / "faces")
    assert (report.frame_count, report.face_count) == (8, 7 + 4)
    assert report.frames_without_face == (third_name,)
    names = [f.path.stem for f in faceset]
    assert f"{third_name}_0" not in names and len(names) == 11
    last = [f for f in faceset if f.origin.frame_index == 7]
    assert [f.path.stem[-2:] for f in last] == ["_0", "_1"]
    assert last[0].face.size_px > last[1].face.size_px
    assert last[0].origin.source_name == "clip.mkv" and last[0].origin.pts == "7/25"
    assert len({f.face.track for f in faceset}) == 2


def test_the_square_shows_the_face_where_its_landmarks_say(tmp_path: Path) -> None:
    clip = clip_with_faces(tmp_path / "clip.mkv", count=1)
    with open_source(clip) as source:
        extract_faces(source, tmp_path / "faces", SMALL, DiscDetector())
    aligned = Faceset.open(tmp_path / "faces")[0]
    np.testing.assert_allclose(
        aligned.frame_to_aligned, align_matrix(aligned.landmarks, FaceType.FULL, 64), atol=1e-2
    )
    nose = transform_points(aligned.landmarks[30:31], aligned.frame_to_aligned)[0].astype(int)
    color = read_image(aligned)[nose[1], nose[0]]
    assert np.abs(color.astype(int) - SKIN).max() < 12  # JPEG


def test_an_interrupted_run_continues_and_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    clip = clip_with_faces(tmp_path / "clip.mkv")
    stop = StopAfter(3)
    with open_source(clip) as source:
        with pytest.raises(Cancelled, match="3 of 8 frames"):
            extract_faces(source, tmp_path / "a", SMALL, DiscDetector(), stop)
        second = DiscDetector()
        report = extract_faces(source, tmp_path / "a", SMALL, second)
        whole = extract_faces(source, tmp_path / "b", SMALL, DiscDetector())
    assert second.calls == 5 and report.resumed_frames == 3
    assert report.face_count == whole.face_count
    pairs = zip(Faceset.open(tmp_path / "a"), Faceset.open(tmp_path / "b"), strict=True)
    for one, other in pairs:
        assert one.path.name == other.path.name and one.digest == other.digest


def test_a_line_cut_off_by_a_crash_costs_that_frame_only(tmp_path: Path) -> None:
    clip = clip_with_faces(tmp_path / "clip.mkv")
    with open_source(clip) as source:
        with pytest.raises(Cancelled):
            extract_faces(source, tmp_path / "a", SMALL, DiscDetector(), StopAfter(4))
        journal = tmp_path / "a" / "_extract" / "detections.jsonl"
        journal.write_bytes(journal.read_bytes()[:-30])
        detector = DiscDetector()
        report = extract_faces(source, tmp_path / "a", SMALL, detector)
    assert detector.calls == 5 and report.face_count == 12


def test_a_finished_faceset_is_left_as_people_curated_it(tmp_path: Path) -> None:
    clip = clip_with_faces(tmp_path / "clip.mkv")
    with open_source(clip) as source:
        first = extract_faces(source, tmp_path / "a", SMALL, DiscDetector())
        Faceset.open(tmp_path / "a")[0].path.unlink()
        detector = DiscDetector()
        again = extract_faces(source, tmp_path / "a", SMALL, detector)
        assert (again, detector.calls) == (first, 0)
        assert len(Faceset.open(tmp_path / "a")) == 11
        extract_faces(source, tmp_path / "a", SMALL, DiscDetector(), overwrite=True)
    assert len(Faceset.open(tmp_path / "a")) == 12


def test_other_options_or_another_clip_never_mix_into_a_faceset(tmp_path: Path) -> None:
    clip = clip_with_faces(tmp_path / "clip.mkv")
    with open_source(clip) as source:
        extract_faces(source, tmp_path / "a", SMALL, DiscDetector())
        other = ExtractParams(image_size=96, face_type=FaceType.FULL)
        with pytest.raises(ParameterError, match="another options.*--overwrite"):
            extract_faces(source, tmp_path / "a", other, DiscDetector())


def test_thinning_takes_frames_by_time(tmp_path: Path) -> None:
    clip = clip_with_faces(tmp_path / "clip.mkv", count=25)
    with open_source(clip) as source:
        assert thinned_indices(source, 0) == list(range(25))
        assert thinned_indices(source, 5) == [0, 5, 10, 15, 20]
        assert thinned_indices(source, 10) == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]


def test_max_faces_and_min_size_are_counted(tmp_path: Path) -> None:
    clip = clip_with_faces(tmp_path / "clip.mkv")
    with open_source(clip) as source:
        one = ExtractParams(image_size=64, max_faces=1)
        assert extract_faces(source, tmp_path / "a", one, DiscDetector()).face_count == 8
        large = ExtractParams(image_size=64, min_size=30)
        report = extract_faces(source, tmp_path / "b", large, DiscDetector())
    assert (report.face_count, report.skipped_small) == (8, 4)
    saved = json.loads((tmp_path / "b" / "_extract" / "report.json").read_text())
    assert saved["skipped_small"] == 4


def test_debug_overlays_are_written_for_every_frame(tmp_path: Path) -> None:
    clip = clip_with_faces(tmp_path / "clip.mkv", count=3)
    with open_source(clip) as source:
        extract_faces(
            source, tmp_path / "a", SMALL, DiscDetector(), debug_folder=tmp_path / "debug"
        )
    assert len(list((tmp_path / "debug").glob("*.jpg"))) == 3
