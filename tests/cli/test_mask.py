"""`facegraft mask`, end to end on drawn faces."""

import numpy as np
import pytest
from click.testing import CliRunner

from facegraft.errors import EmptyFaceset, FacegraftError, NotAModel, ParameterError
from facegraft.faces.faceset import Faceset, read_mask
from facegraft_cli.main import cli
from tests.engine.masked_faces import with_polygons
from tests.engine.tiny_segmenter import write_segmenter
from tests.engine.training_faces import write_faceset

TINY = (
    "--resolution 64 --face-type full --batch-size 2 --threads 1 --device cpu --target-iterations 2"
).split()


def run(*args: object) -> str:
    result = CliRunner().invoke(cli, ["mask", *map(str, args)], catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return result.output


def test_train_apply_export_and_remove(tmp_path):
    faces, masks, onnx = tmp_path / "fäces of ben", tmp_path / "masks", tmp_path / "masks.onnx"
    with_polygons(faces, 3)
    assert "iteration 2" in run("train", faces, masks, *TINY)
    assert "iteration 3" in run("train", faces, masks, "--target-iterations", 3)
    assert "differs from the network by at most" in run("export", masks, onnx)
    assert "3 faces masked by run masks, iteration 3" in run("apply", faces, masks)
    assert "3 faces masked by masks.onnx" in run("apply", faces, onnx)
    assert {"masks.onnx"} == {face.mask_by for face in Faceset.open(faces)}
    assert "masks of 3 faces removed" in run("remove", faces)
    assert [2, 2, 0] == [len(face.polygons) for face in Faceset.open(faces)]


def test_a_class_map_needs_its_classes_and_takes_them(tmp_path):
    faces = write_faceset(tmp_path / "faces", 2)
    weights = np.zeros((3, 4))
    path = write_segmenter(tmp_path / "map.onnx", weights, np.array([0.0, 9.0, 0.0, 0.0]), size=32)
    with pytest.raises(ParameterError, match="4 classes"):
        run("apply", faces.folder, path)
    run("apply", faces.folder, path, "--classes", "1,2", "--face-type", "full")
    mask = read_mask(Faceset.open(faces.folder)[0])
    assert mask is not None and mask[8:-8, 8:-8].min() > 250
    run("apply", faces.folder, path, "--classes", "0,2")
    mask = read_mask(Faceset.open(faces.folder)[0])
    assert mask is not None and 0 == mask.max()


@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        (("train", "faces", "run", *TINY), EmptyFaceset, "mask edit"),
        (("apply", "faces", "faces"), FacegraftError, "mask train"),
        (("apply", "faces", "faces/00000_0.png"), NotAModel, "no run's folder"),
        (("export", "faces", "x.onnx"), FacegraftError, "mask train"),
        (("import-dfl", "faces", "run"), FacegraftError, "XSeg_256.npy"),
    ],
)
def test_what_does_not_fit_is_said_with_the_next_step(tmp_path, monkeypatch, args, error, words):
    monkeypatch.chdir(tmp_path)
    write_faceset(tmp_path / "faces", 2)
    with pytest.raises(error, match=words):
        CliRunner().invoke(cli, ["mask", *args], catch_exceptions=False)


def test_help_names_every_command_and_option():
    assert all(name in run("--help") for name in ("train", "apply", "remove", "export", "edit"))
    text = run("train", "--help")
    assert "--occluders" in text and "--labels" in text and "percent" in text
