"""Resizing, names, metadata, joining, splitting: what a set knows stays true, nothing is lost."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft.enhance import Enhancer, PixelRange
from facegraft.errors import (
    BadAlignedImage,
    FacesetError,
    FutureVersion,
    ParameterError,
    SourceNotFound,
)
from facegraft.faces.align import align_matrix, invert, transform_points
from facegraft.faces.face import Polygon
from facegraft.faces.faceset import (
    Faceset,
    aligned_bytes,
    encode_image,
    encode_mask,
    read_image,
    read_mask,
)
from facegraft.faces.metadata import embed, read_metadata, without_metadata
from facegraft.media.images import read_image_file
from facegraft.model_spec import FaceType
from facegraft.sets.combine import (
    join_faces,
    split_by_share,
    split_by_source,
    split_by_track,
    write_parts,
)
from facegraft.sets.contact_sheet import ROWS, drawable, write_sheets
from facegraft.sets.enhance_set import enhance_faceset
from facegraft.sets.meta_files import metadata_path, restore_metadata, save_metadata
from facegraft.sets.names import numbered_names, original_names, read_order
from facegraft.sets.overlays import FACE, draw_overlay, write_overlays
from facegraft.sets.pack import pack_faceset
from facegraft.sets.reframe import reframe_faceset
from facegraft.sets.sort import Order
from facegraft.sets.sort_files import write_order
from facegraft.sets.undo import undo
from tests.engine.set_faces import face_of, file_bytes, write_face, write_set
from tests.engine.test_enhance import write as write_network


def frame_places(face, margin: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the square lies in the frame by the matrix, and by its colour, px."""
    y, x = np.mgrid[margin : face.size - margin, margin : face.size - margin] + 0.5
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    by_matrix = transform_points(points, invert(face.frame_to_aligned))
    image = read_image(face)[margin:-margin, margin:-margin].reshape(-1, 3)
    return by_matrix, image[:, :2].astype(np.float64) + 0.5


@pytest.mark.parametrize(
    ("face_type", "size"),
    [(None, 64), (None, 40), (None, 200), (FaceType.FULL, 80), (FaceType.HALF, None)],
)
def test_pixels_of_a_resized_face_lie_where_its_matrix_says(tmp_path, face_type, size):
    folder = write_set(tmp_path / "set", 2)
    reframe_faceset(Faceset.open(folder), tmp_path / "out", size, face_type)
    for before, face in zip(Faceset.open(folder), Faceset.open(tmp_path / "out"), strict=True):
        assert face.size == (size or before.size)
        assert face.face_type is (face_type or before.face_type)
        np.testing.assert_array_equal(before.landmarks, face.landmarks)
        by_matrix, by_color = frame_places(face)
        np.testing.assert_allclose(by_color, by_matrix, atol=1.6)  # colours are whole numbers
        # half a pixel's shift would show as 0.5 or more; whole colours may round one way
        assert np.abs((by_color - by_matrix).mean(axis=0)).max() < 0.4


def test_a_reframed_face_has_the_framing_of_one_cut_from_the_frame(tmp_path):
    folder = write_set(tmp_path / "set", 1)
    reframe_faceset(Faceset.open(folder), tmp_path / "out", 80, FaceType.FULL)
    face = Faceset.open(tmp_path / "out")[0]
    np.testing.assert_allclose(
        face.frame_to_aligned, align_matrix(face.landmarks, FaceType.FULL, 80), atol=1e-4
    )
    cut = write_face(tmp_path / "cut.png", face.face, FaceType.FULL, 80)
    away = np.abs(read_image(face).astype(int) - read_image(cut).astype(int))
    assert away[2:-2, 2:-2].max() <= 2


def test_masks_and_polygons_move_with_the_picture(tmp_path):
    folder = write_set(tmp_path / "set", 1)
    face = Faceset.open(folder)[0]
    mask = np.zeros((96, 96), np.uint8)
    cv2.circle(mask, (47, 55), 20, 255, -1)
    corners = ((30.0, 40.0), (60.0, 40.0), (45.0, 70.0))
    marked = replace(face, polygons=(Polygon(True, corners),))
    picture = encode_image(read_image(face), ".png")
    face.path.write_bytes(aligned_bytes(marked, picture, encode_mask(mask))[1])
    reframe_faceset(Faceset.open(folder), tmp_path / "out", 60, FaceType.FULL)
    moved = Faceset.open(tmp_path / "out")[0]
    for before, after in zip(corners, moved.polygons[0].points, strict=True):
        in_frame = transform_points(np.array([before]), invert(face.frame_to_aligned))
        expected = transform_points(in_frame, moved.frame_to_aligned)[0]
        np.testing.assert_allclose(after, expected, atol=0.01)
    moved_mask = read_mask(moved)
    assert moved_mask is not None and moved_mask.shape == (60, 60)
    inside = np.argwhere(moved_mask > 127)[:, ::-1] + 0.5
    middle = transform_points(np.array([[47.5, 55.5]]), invert(face.frame_to_aligned))
    expected = transform_points(middle, moved.frame_to_aligned)[0]
    np.testing.assert_allclose(inside.mean(axis=0), expected, atol=0.3)
    ratio = np.linalg.det(moved.frame_to_aligned[:, :2]) / np.linalg.det(
        face.frame_to_aligned[:, :2]
    )
    assert len(inside) == pytest.approx((mask > 127).sum() * ratio, rel=0.05)


def test_a_larger_face_type_gets_a_black_margin_and_is_told(tmp_path):
    folder = write_set(tmp_path / "set", 2, face_type=FaceType.FULL)
    done = reframe_faceset(Faceset.open(folder), tmp_path / "out", 96, FaceType.WHOLE_FACE)
    assert done.beyond_count == 2
    assert read_image(Faceset.open(tmp_path / "out")[0])[0, 0].max() == 0
    smaller = reframe_faceset(Faceset.open(folder), tmp_path / "half", 96, FaceType.HALF)
    assert smaller.beyond_count == 0


def test_mixed_sizes_and_face_types_become_one_in_place_and_come_back(tmp_path):
    folder = write_set(tmp_path / "set", 2, size=64)
    write_face(folder / "head_0.jpg", face_type=FaceType.HEAD, size=80)
    write_face(folder / "right_0.png", face_type=FaceType.FULL, size=48)
    before = file_bytes(folder)
    done = reframe_faceset(Faceset.open(folder), folder, 48, FaceType.FULL)
    assert done.face_count == 4 and done.same_count == 1
    assert {(f.size, f.face_type) for f in Faceset.open(folder)} == {(48, FaceType.FULL)}
    assert (folder / "right_0.png").read_bytes() == before["right_0.png"]
    undo(folder)
    assert file_bytes(folder) == before


def test_a_damaged_picture_stops_resizing_and_nothing_is_changed(tmp_path):
    folder = write_set(tmp_path / "set", 4)
    last = folder / "00003_0.png"
    values = read_metadata(last)
    broken = b"\x89PNG\r\n\x1a\n" + without_metadata(last.read_bytes())[8:33]
    last.write_bytes(embed(broken + b"\0\0\0\0IEND\xaeB`\x82", values))
    before = file_bytes(folder)
    with pytest.raises(BadAlignedImage, match="00003_0.png"):
        reframe_faceset(Faceset.open(folder), folder, 32)
    assert file_bytes(folder) == before


@pytest.mark.parametrize("size", [0, 8, 100_000])
def test_a_size_out_of_range_is_refused(tmp_path, size):
    with pytest.raises(ParameterError, match=f"size is {size} px; faces have 32 to 4096"):
        reframe_faceset(Faceset.open(write_set(tmp_path / "set", 1)), tmp_path / "out", size)


def test_original_names_are_the_frames_with_a_number_each(tmp_path):
    folder = tmp_path / "set"
    write_face(folder / "x1.png", face_of(size=50), frame="0007")
    write_face(folder / "x2.png", face_of(size=70), frame="0007")
    write_face(folder / "0007_1.png", face_of(size=90), frame="0007")
    write_face(folder / "00000.jpg", frame="0008")
    write_face(folder / "stranger.png", frame="")
    assert original_names(Faceset.open(folder)) == {
        "0007_1.png": "0007_1.png",
        "x2.png": "0007_0.png",  # the larger one
        "x1.png": "0007_2.png",
        "00000.jpg": "0008_0.jpg",
        "stranger.png": "stranger.png",
    }


def test_faces_of_several_clips_get_the_clips_name_too(tmp_path):
    folder = tmp_path / "set"
    write_face(folder / "a.png", clip="one.mov", frame="0001")
    write_face(folder / "b.png", clip="two.mov", frame="0001")
    names = original_names(Faceset.open(folder))
    assert names == {"a.png": "one_0001_0.png", "b.png": "two_0001_0.png"}


def test_numbers_follow_an_order_and_then_the_rest():
    present = ["a.png", "b.jpg", "c.png"]
    assert numbered_names(["c.png", "a.png"], present) == {
        "c.png": "00000.png",
        "a.png": "00001.png",
        "b.jpg": "00002.jpg",
    }
    with pytest.raises(ParameterError, match="z.png, which is not in the set"):
        numbered_names(["z.png"], present)
    with pytest.raises(ParameterError, match="a.png 2 times"):
        numbered_names(["a.png", "a.png"], present)


def test_an_order_is_read_from_plain_lines_and_from_what_sorting_writes(tmp_path):
    faces = list(Faceset.open(write_set(tmp_path / "set", 3)))[::-1]
    write_order(tmp_path / "order.csv", Order("size", tuple(faces), (3.0, 2.0, 1.0), 3))
    expected = ["00002_0.png", "00001_0.png", "00000_0.png"]
    assert read_order(tmp_path / "order.csv") == expected
    (tmp_path / "order.txt").write_text("\n".join([*expected, "", ""]))
    assert read_order(tmp_path / "order.txt") == expected


def edit(path: Path, size: int, target: Path | None = None) -> np.ndarray:
    """What an image editor does: another picture, another size, and no metadata."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert picture is not None
    bgr = cv2.resize(255 - picture, (size, size))
    target = target or path
    target.write_bytes(cv2.imencode(target.suffix, bgr)[1].tobytes())
    return bgr[..., ::-1]


def test_metadata_comes_back_after_an_image_editor_also_at_another_size(tmp_path):
    folder = write_set(tmp_path / "set", 4)
    faces = Faceset.open(folder)
    corners = ((10.0, 20.0), (60.0, 20.0), (30.0, 70.0))
    mask = encode_mask(np.full((96, 96), 255, np.uint8))
    marked = replace(faces[1], polygons=(Polygon(False, corners),))
    picture = encode_image(read_image(faces[1]), ".png")
    faces[1].path.write_bytes(aligned_bytes(marked, picture, mask)[1])
    assert save_metadata(Faceset.open(folder), metadata_path(folder)) == 4
    edited = [edit(faces[0].path, 96), edit(faces[1].path, 144)]
    edit(faces[2].path, 48, folder / "00002_0.jpg")
    faces[2].path.unlink()
    done = restore_metadata(folder, metadata_path(folder))
    assert (done.restored_count, done.scaled_count, done.same_count) == (3, 2, 1)
    assert done.problems == ()
    after = Faceset.open(folder)
    assert [face.size for face in after] == [96, 144, 48, 96]
    for n in (0, 1):
        np.testing.assert_array_equal(read_image(after[n]), edited[n])
        np.testing.assert_array_equal(after[n].landmarks, faces[n].landmarks)
    np.testing.assert_allclose(after[1].polygons[0].points, np.array(corners) * 1.5)
    np.testing.assert_allclose(after[1].frame_to_aligned, faces[1].frame_to_aligned * 1.5)
    assert read_mask(after[1]) is not None
    undo(folder)
    with pytest.raises(BadAlignedImage, match="image editor"):
        Faceset.open(folder)


def test_pictures_that_cannot_get_their_metadata_back_are_told(tmp_path):
    folder = write_set(tmp_path / "set", 3)
    save_metadata(Faceset.open(folder), tmp_path / "saved.jsonl")
    (folder / "00000_0.png").unlink()
    cv2.imwrite(str(folder / "00001_0.png"), np.zeros((50, 60, 3), np.uint8))
    (folder / "00002_0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = restore_metadata(folder, tmp_path / "saved.jsonl")
    assert done.restored_count == 0 and len(done.problems) == 3
    assert "00000_0.png is gone" in done.problems[0]
    assert "60x50 px" in done.problems[1] and "damaged" in done.problems[2]


def test_saved_metadata_that_is_missing_damaged_or_newer_is_told(tmp_path):
    folder = write_set(tmp_path / "set", 1)
    saved = tmp_path / "saved.jsonl"
    with pytest.raises(SourceNotFound, match="metadata save"):
        restore_metadata(folder, saved)
    for text in ("", "nonsense", '{"version": 1}\n[]', '{"version": 1}\n{"name": "x"}'):
        saved.write_text(text)
        with pytest.raises(FacesetError, match="damaged"):
            restore_metadata(folder, saved)
    saved.write_text('{"version": 9}')
    with pytest.raises(FutureVersion, match="version 9"):
        restore_metadata(folder, saved)


def test_enhancing_keeps_landmarks_on_their_pixels_and_the_former_faces(tmp_path):
    folder = write_set(tmp_path / "set", 2)
    before = file_bytes(folder)
    network = write_network(tmp_path / "twice.onnx", enlarge=2)
    enhancer = Enhancer.open(network, pixel_range=PixelRange.UNIT)
    assert enhance_faceset(Faceset.open(folder), enhancer, tmp_path / "out").size == 192
    gain = np.array([0.25, 0.5, 1.0])
    for one, other in zip(Faceset.open(folder), Faceset.open(tmp_path / "out"), strict=True):
        expected = read_image(one).repeat(2, axis=0).repeat(2, axis=1) * gain
        np.testing.assert_allclose(read_image(other), expected, atol=1)
        np.testing.assert_allclose(other.frame_to_aligned, one.frame_to_aligned * 2)
    enhance_faceset(Faceset.open(folder), enhancer, folder, size=64)
    assert {face.size for face in Faceset.open(folder)} == {64}
    undo(folder)
    assert file_bytes(folder) == before


def test_joined_sets_hold_every_face_once(tmp_path):
    one = write_set(tmp_path / "one", 3)
    two = write_set(tmp_path / "two", 4, clip="other.mov")
    pack_faceset(two, tmp_path / "two.facepack")
    faces = [*Faceset.open(one), *Faceset.open(tmp_path / "two.facepack"), *Faceset.open(one)]
    copied = join_faces(faces, tmp_path / "out", "merge")
    assert (copied.face_count, copied.renamed_count, copied.same_count) == (7, 3, 3)
    out = file_bytes(tmp_path / "out")
    assert set(out.values()) == {*file_bytes(one).values(), *file_bytes(two).values()}
    assert "two_00000_0.png" in out and "00003_0.png" in out
    assert join_faces(Faceset.open(one), tmp_path / "out", "again").face_count == 0


def test_a_split_set_is_whole_again_when_it_is_joined(tmp_path):
    folder = tmp_path / "set"
    for n in range(12):
        face = face_of(track=n % 3)
        write_face(folder / f"{n:05d}_0.png", face, clip=f"clip{n % 2}.mov", frame=f"{n:05d}")
    faceset = Faceset.open(folder)
    by_track, by_source = split_by_track(faceset), split_by_source(faceset)
    by_share = split_by_share(faceset, 0.75)
    assert {p.name: len(p.faces) for p in by_track} == {"track_0": 4, "track_1": 4, "track_2": 4}
    assert {p.name: len(p.faces) for p in by_source} == {"clip0": 6, "clip1": 6}
    assert {p.name: len(p.faces) for p in by_share} == {"first": 9, "rest": 3}
    assert split_by_share(faceset, 0.75)[1].faces == by_share[1].faces
    write_parts(by_share, tmp_path / "parts")
    halves = [Faceset.open(tmp_path / "parts" / name) for name in ("first", "rest")]
    join_faces([face for half in halves for face in half], tmp_path / "whole", "merge")
    assert file_bytes(tmp_path / "whole") == file_bytes(folder)
    with pytest.raises(ParameterError, match="choose another folder"):
        write_parts(by_share, tmp_path / "parts")
    with pytest.raises(ParameterError, match="without faces"):
        split_by_share(faceset, 1.0)


def test_a_sheet_shows_every_face_in_its_place_over_as_many_pages_as_it_takes(tmp_path):
    folder = write_set(tmp_path / "set", 5, size=64)
    files = write_sheets(Faceset.open(folder), tmp_path / "s.png", columns=2, rows=2, tile=64)
    assert [file.name for file in files] == ["s_001.png", "s_002.png"]
    page = read_image_file(files[0])[0]
    assert page.shape == (2 * 80, 128, 3)
    np.testing.assert_array_equal(page[80:144, 64:], read_image(Faceset.open(folder)[3]))
    single = write_sheets(Faceset.open(folder), tmp_path / "one.png", tile=64)
    assert [file.name for file in single] == ["one.png"] and ROWS > 1
    with pytest.raises(ParameterError, match="tile is 5 px"):
        write_sheets(Faceset.open(folder), tmp_path / "s.png", tile=5)


def test_names_in_other_letters_are_drawn_as_far_as_the_font_goes():
    assert drawable("Ünïcode 顔 01") == "Unicode ? 01"


def test_an_overlay_marks_landmarks_and_polygons_where_they_lie(tmp_path):
    face = write_face(tmp_path / "set" / "a.png", size=128)
    marked = replace(face, polygons=(Polygon(True, ((8.5, 8.5), (40.5, 8.5), (40.5, 40.5))),))
    drawn = draw_overlay(marked)
    np.testing.assert_allclose(drawn[8, 20], FACE, atol=25)  # the edge is soft
    changed = np.abs(drawn.astype(int) - read_image(face)).max(axis=2) > 40
    for x, y in transform_points(face.landmarks, face.frame_to_aligned):
        assert changed[int(y), int(x)]
    assert write_overlays(Faceset.open(tmp_path / "set"), tmp_path / "out") == 1
    with pytest.raises(ParameterError, match="not empty"):
        write_overlays(Faceset.open(tmp_path / "set"), tmp_path / "set")
