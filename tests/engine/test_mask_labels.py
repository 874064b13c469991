"""What a mask network learns from: polygons, stored masks, outlines; and what it refuses."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from facegraft.errors import BadAlignedImage, EmptyFaceset
from facegraft.faces.align import invert
from facegraft.faces.face import Polygon
from facegraft.faces.faceset import Faceset, read_image, read_mask, reframe_matrix
from facegraft.faces.polygons import polygon_mask
from facegraft.model_spec import FaceType
from facegraft.training.mask_params import Labels
from facegraft.training.mask_samples import labelled_faces, labels_digest, load_labelled
from tests.engine.masked_faces import HOLE, SQUARE, store, with_hulls, with_polygons
from tests.engine.training_faces import write_faceset


def test_polygons_fill_what_is_face_and_then_cut_what_is_not_in_any_order():
    include, exclude = Polygon(True, SQUARE), Polygon(False, HOLE)
    expected = np.zeros((96, 96), np.uint8)
    expected[20:80, 20:70] = 255
    expected[60:75, 40:60] = 0
    for polygons in ((include, exclude), (exclude, include)):
        difference = polygon_mask(polygons, 96).astype(int) - expected
        edge = cv2.dilate(cv2.Canny(expected, 100, 200), np.ones((3, 3))) > 0
        assert 0 == np.abs(difference[~edge]).max()


def test_polygons_may_lie_partly_outside_and_two_points_hold_nothing():
    corner = Polygon(True, ((-50, -50), (10, -50), (10, 10), (-50, 10)))
    mask = polygon_mask((corner, Polygon(True, ((50, 50), (60, 60)))), 96)
    assert 255 == mask[:9, :9].min() and 0 == mask[12:].max()


def test_faces_count_as_labelled_by_polygons_or_by_masks_that_people_drew(tmp_path):
    drawn, polygons = with_hulls(tmp_path / "drawn", 2), with_polygons(tmp_path / "polygons", 3)
    computed = with_hulls(tmp_path / "computed", 2, mask_by="run x")
    bare = write_faceset(tmp_path / "bare", 2)
    every = [*drawn, *polygons, *computed, *bare]
    assert [*drawn, *polygons[:2]] == labelled_faces(every, Labels.DRAWN)
    assert [*drawn, *polygons[:2], *computed] == labelled_faces(every, Labels.STORED)
    assert every == labelled_faces(every, Labels.HULL)


def test_a_set_without_labels_says_what_to_do_next(tmp_path):
    with pytest.raises(EmptyFaceset, match="mask edit.*--labels hull"):
        labelled_faces(write_faceset(tmp_path / "bare", 2), Labels.DRAWN)
    computed = with_hulls(tmp_path / "computed", 2, mask_by="run x")
    with pytest.raises(EmptyFaceset, match="the 2 stored masks.*--labels stored"):
        labelled_faces(computed, Labels.DRAWN)


@pytest.mark.parametrize("wanted", [FaceType.FULL, FaceType.HALF, FaceType.WHOLE_FACE])
def test_a_label_follows_its_picture_into_another_face_type(tmp_path, wanted):
    """Labels are the pictures' own red, so that both must look alike in every framing."""
    faces = write_faceset(tmp_path, 1, face_type=FaceType.FULL)
    red = read_image(faces[0])[..., 0].copy()
    store(faces[0], red)
    square = load_labelled(Faceset.open(tmp_path)[0], wanted, 64, 8, Labels.DRAWN)
    inside = square[..., 4] == 255
    difference = np.abs(square[..., 3].astype(int) - square[..., 0])[inside]
    assert difference.mean() < 3  # of 255: cubic for the picture, linear for the label
    assert inside.mean() > 0.3


def test_nothing_is_known_beyond_the_square_that_was_labelled(tmp_path):
    faces = with_hulls(tmp_path, 1)
    square = load_labelled(faces[0], FaceType.WHOLE_FACE, 64, 0, Labels.DRAWN)
    matrix = reframe_matrix(faces[0], FaceType.WHOLE_FACE, 64)
    y, x = np.mgrid[:64, :64] + 0.5
    stored = np.stack([x, y], -1) @ invert(matrix)[:, :2].T + invert(matrix)[:, 2]
    inside = ((stored > 2) & (stored < faces[0].size - 2)).all(axis=-1)
    outside = ((stored < -2) | (stored > faces[0].size + 2)).any(axis=-1)
    assert 255 == square[..., 4][inside].min() and 0 == square[..., 4][outside].max()
    assert outside.any()


def test_a_damaged_mask_and_polygons_outside_the_square_name_the_file(tmp_path):
    face = with_hulls(tmp_path, 1)[0]
    far = Polygon(True, ((500.0, 500.0), (600.0, 500.0), (600.0, 600.0)))
    store(replace(face, polygons=(far,)), None)
    face = Faceset.open(tmp_path)[0]
    with pytest.raises(BadAlignedImage, match="00000_0.png.*500,500 to 600,600.*96 px"):
        load_labelled(face, FaceType.FULL, 64, 0, Labels.DRAWN)
    store(replace(face, polygons=()), np.full((96, 48), 255, np.uint8))
    with pytest.raises(BadAlignedImage, match="00000_0.png.*48x96 px"):
        load_labelled(Faceset.open(tmp_path)[0], FaceType.FULL, 64, 0, Labels.DRAWN)


def test_a_rewritten_face_keeps_its_picture_byte_by_byte_and_its_digest(tmp_path):
    (before,) = write_faceset(tmp_path, 1)
    plain = before.path.read_bytes()
    store(replace(before, mask_by="run x"), np.full((32, 32), 255, np.uint8))
    (after,) = Faceset.open(tmp_path)
    assert (before.digest, "run x") == (after.digest, after.mask_by)
    assert 255 == read_mask(after).min()  # type: ignore[union-attr]
    store(replace(after, mask_by=""), None)
    assert plain == before.path.read_bytes()


def test_the_labels_digest_tells_polygons_and_masks_apart(tmp_path):
    faces = with_hulls(tmp_path, 2)
    digests = [labels_digest(faces, Labels.DRAWN), labels_digest(faces, Labels.HULL)]
    store(faces[0], np.zeros((96, 96), np.uint8))
    digests.append(labels_digest(faces, Labels.DRAWN))
    changed = replace(faces[1], polygons=(Polygon(True, SQUARE),))
    digests.append(labels_digest([faces[0], changed], Labels.DRAWN))
    assert 4 == len(set(digests))
