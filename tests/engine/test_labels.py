"""Mask labels of people: every format there and back, and nothing lost that was not named."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from facegraft.errors import LabelError, ParameterError, WriteError
from facegraft.faces.face import Polygon
from facegraft.faces.faceset import Faceset, read_image, read_mask, rewritten
from facegraft.sets.labels import (
    Label,
    LabelFormat,
    clear_labels,
    count_labels,
    export_labels,
    fetch_labelled,
    label_mask,
    label_of,
    read_labels,
    store_labels,
)
from facegraft.sets.undo import undo
from tests.engine.dfl_files import write_dfl_faceset
from tests.engine.training_faces import write_faceset

FACE = Polygon(True, ((10.0, 10.0), (80.0, 10.0), (80.0, 80.0), (10.0, 80.0)))
HOLE = Polygon(False, ((30.0, 40.0), (60.0, 40.0), (60.0, 70.0), (30.0, 70.0)))


@pytest.fixture
def labelled(tmp_path) -> Faceset:
    """Three faces with a name that is not ASCII: polygons, a painted mask, nothing."""
    folder = tmp_path / "gesichter ö"
    faceset = write_faceset(folder, 3)
    painted = np.zeros((96, 96), np.uint8)
    painted[20:70, 30:60] = 255
    store_labels(
        faceset,
        {faceset[0].path: Label((FACE, HOLE)), faceset[1].path: Label(painted=painted)},
        "test",
    )
    return Faceset.open(folder)


def test_a_hole_is_cut_out_whichever_was_drawn_first():
    for polygons in ((FACE, HOLE), (HOLE, FACE)):
        mask = label_mask(Label(polygons), 96)
        assert (mask[45:65, 35:55] == 0).all()
        assert (mask[15:35, 15:75] == 255).all()
        assert mask[:8].max() == 0


def test_counts_tell_polygons_paint_and_networks_apart(labelled):
    computed = replace(labelled[2], mask_by="run a")
    computed.path.write_bytes(rewritten(computed, np.full((96, 96), 255, np.uint8)))
    counts = count_labels(Faceset.open(labelled.folder))
    assert (counts.faces, counts.with_polygons, counts.include, counts.exclude) == (3, 1, 1, 1)
    assert (counts.painted, counts.computed) == (1, 1)
    by_hand = ((70 * 70 - 30 * 30) + 50 * 30) / 2 / 96**2  # px of the squares above
    assert counts.covered == pytest.approx(by_hand, rel=0.02)


@pytest.mark.parametrize("kind", [LabelFormat.LABELME, LabelFormat.COCO, LabelFormat.PNG])
def test_labels_go_out_and_come_back(labelled, tmp_path, kind):
    target = tmp_path / ("labels.json" if kind is LabelFormat.COCO else "labels")
    count = export_labels(labelled, target, kind, overwrite=False)
    assert count == (2 if kind is LabelFormat.PNG else 1)  # only PNG can hold paint
    found, strangers = read_labels(labelled, target, kind)
    assert strangers == [] and set(found) == {f.path for f in labelled[:count]}
    for path, label in found.items():
        face = next(f for f in labelled if f.path == path)
        stored = label_of(face)
        assert stored is not None
        if kind is not LabelFormat.PNG:
            assert label.polygons == face.polygons
        np.testing.assert_array_equal(label_mask(label, 96), label_mask(stored, 96))


def test_labels_drawn_at_another_size_are_scaled(labelled, tmp_path):
    export_labels(labelled, tmp_path / "labels", LabelFormat.LABELME, overwrite=False)
    path = tmp_path / "labels" / f"{labelled[0].path.stem}.json"
    values = json.loads(path.read_text())
    values["imageWidth"] = values["imageHeight"] = 192
    for shape in values["shapes"]:
        shape["points"] = [[2 * x, 2 * y] for x, y in shape["points"]]
    path.write_text(json.dumps(values))
    found, _ = read_labels(labelled, tmp_path / "labels", LabelFormat.LABELME)
    assert found[labelled[0].path].polygons == (FACE, HOLE)


def test_rectangles_and_circles_of_labelme_make_a_mask(labelled, tmp_path):
    shapes = [
        {"label": "face", "shape_type": "rectangle", "points": [[10, 10], [80, 80]]},
        {"label": "not face", "shape_type": "circle", "points": [[45, 45], [45, 55]]},
    ]
    values = {"shapes": shapes, "imageWidth": 96, "imageHeight": 96}
    (tmp_path / f"{labelled[2].path.stem}.json").write_text(json.dumps(values))
    found, _ = read_labels(labelled, tmp_path, LabelFormat.LABELME)
    mask = label_mask(found[labelled[2].path], 96)
    missing = 70 * 70 - mask.sum() / 255
    assert missing == pytest.approx(np.pi * 10**2, abs=25)  # edges are a sixteenth of a pixel out


def test_polygons_of_deepfacelab_are_taken_over_and_scaled(tmp_path):
    faceset = write_faceset(tmp_path / "faces", 1)
    polygons = {"polys": [{"type": 1, "pts": [[0, 0], [256, 0], [256, 128], [0, 128]]}]}
    (path,) = write_dfl_faceset(tmp_path / "dfl", 1, seg_ie_polys=polygons)
    path.rename(path.with_stem(faceset[0].path.stem))
    found, _ = read_labels(faceset, tmp_path / "dfl", LabelFormat.DFL)
    (polygon,) = found[faceset[0].path].polygons
    assert polygon.is_face
    np.testing.assert_allclose(polygon.points, [(0, 0), (96, 0), (96, 48), (0, 48)], atol=1e-4)


def test_the_alpha_of_a_painted_picture_is_its_mask(labelled, tmp_path):
    picture = np.full((48, 48, 4), 255, np.uint8)
    picture[:24, :, 3] = 0
    cv2.imwrite(str(tmp_path / f"{labelled[2].path.stem}.png"), picture)
    found, _ = read_labels(labelled, tmp_path, LabelFormat.PNG)
    mask = label_mask(found[labelled[2].path], 96)
    assert mask[:46].max() == 0 and mask[50:].min() == 255


def test_labels_leave_the_picture_as_it_is_and_can_be_taken_back(labelled):
    before = [read_image(face) for face in labelled]
    bytes_before = [face.path.read_bytes() for face in labelled]
    store_labels(labelled, {face.path: Label((HOLE,)) for face in labelled}, "test")
    after = Faceset.open(labelled.folder)
    for old, face in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, read_image(face))
        assert face.polygons == (HOLE,)
    undo(labelled.folder)
    assert [face.path.read_bytes() for face in labelled] == bytes_before


def test_equal_polygons_are_not_written_again(labelled):
    assert store_labels(labelled, {labelled[0].path: Label((FACE, HOLE))}, "test") == 0


def test_clearing_leaves_what_a_network_made(labelled):
    computed = replace(labelled[2], mask_by="run a")
    computed.path.write_bytes(rewritten(computed, np.full((96, 96), 255, np.uint8)))
    faceset = Faceset.open(labelled.folder)
    assert clear_labels(faceset) == 2
    after = Faceset.open(labelled.folder)
    assert [label_of(face) for face in after] == [None] * 3
    assert read_mask(after[1]) is None and read_mask(after[2]) is not None


def test_fetching_copies_the_labelled_faces_and_overwrites_nothing(labelled, tmp_path):
    assert fetch_labelled(labelled, tmp_path / "out") == 2
    fetched = Faceset.open(tmp_path / "out")
    assert [f.path.name for f in fetched] == [f.path.name for f in labelled[:2]]
    with pytest.raises(WriteError, match="there already"):
        fetch_labelled(labelled, tmp_path / "out")


def test_files_that_belong_to_no_face_are_named(labelled, tmp_path):
    (tmp_path / "stranger.json").write_text("{}")
    _, strangers = read_labels(labelled, tmp_path, LabelFormat.LABELME)
    assert strangers == ["stranger.json"]


BAD = {
    "not JSON": ("{", "cannot be read as JSON"),
    "no shapes": ("{}", "no labelme file: it lacks or garbles 'shapes'"),
    "unknown label": (
        '{"shapes": [{"label": "cat", "points": [[0,0],[1,0],[1,1]], "shape_type": "polygon"}], '
        '"imageWidth": 96, "imageHeight": 96}',
        "label 'cat'; it can be face",
    ),
    "a line": (
        '{"shapes": [{"label": "face", "points": [[0,0],[1,0]], "shape_type": "line"}], '
        '"imageWidth": 96, "imageHeight": 96}',
        "a line of 2 points",
    ),
    "no square": ('{"shapes": [], "imageWidth": 96, "imageHeight": 97}', "faces are squares"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_labelme_file_is_named_with_what_is_wrong(labelled, tmp_path, name):
    text, message = BAD[name]
    (tmp_path / f"{labelled[0].path.stem}.json").write_text(text)
    with pytest.raises(LabelError, match=message):
        read_labels(labelled, tmp_path, LabelFormat.LABELME)


def test_run_length_masks_of_coco_are_refused_with_a_way_out(labelled, tmp_path):
    values = {
        "images": [{"id": 1, "file_name": labelled[0].path.name, "width": 96, "height": 96}],
        "annotations": [
            {"id": 7, "image_id": 1, "category_id": 1, "segmentation": {"counts": [], "size": []}}
        ],
        "categories": [{"id": 1, "name": "face"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(values))
    with pytest.raises(LabelError, match="annotation 7 is a run-length mask; export polygons"):
        read_labels(labelled, tmp_path / "coco.json", LabelFormat.COCO)


def test_a_damaged_mask_is_named(labelled, tmp_path):
    (tmp_path / f"{labelled[0].path.stem}.png").write_bytes(b"\x89PNG half")
    with pytest.raises(LabelError, match="damaged or no PNG"):
        read_labels(labelled, tmp_path, LabelFormat.PNG)


def test_an_export_overwrites_only_when_told(labelled, tmp_path):
    export_labels(labelled, tmp_path / "a.json", LabelFormat.COCO, overwrite=False)
    with pytest.raises(WriteError, match="--overwrite"):
        export_labels(labelled, tmp_path / "a.json", LabelFormat.COCO, overwrite=False)
    assert export_labels(labelled, tmp_path / "a.json", LabelFormat.COCO, overwrite=True) == 1


def test_labels_for_deepfacelab_travel_in_its_images(labelled, tmp_path):
    with pytest.raises(ParameterError, match="export-dfl"):
        export_labels(labelled, tmp_path / "out", LabelFormat.DFL, overwrite=False)
