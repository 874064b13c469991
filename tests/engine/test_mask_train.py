"""Training, saving, exporting and applying mask networks, with the smallest real ones."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from facegraft.controls import parse_values
from facegraft.errors import (
    Cancelled,
    CheckpointError,
    EmptyFaceset,
    ParameterError,
    ParityError,
    RunInUse,
)
from facegraft.faces.faceset import Faceset, read_image, read_mask
from facegraft.model_spec import FaceType
from facegraft.models.export_mask import export_mask_net
from facegraft.models.mask_build import build_mask_net
from facegraft.onnx_file import open_onnx
from facegraft.progress import Request, Silent
from facegraft.segment import METADATA_KEY, Segmenter
from facegraft.sets.masks import apply_masks, network_square, remove_masks
from facegraft.sets.undo import undo
from facegraft.training.book import CURVE_NAME
from facegraft.training.checkpoint import load_checkpoint
from facegraft.training.history import HISTORY_NAME
from facegraft.training.lock import lock_run
from facegraft.training.loop import train
from facegraft.training.mask_augment import LabelledBatch
from facegraft.training.mask_export import RunMasker, export_mask_run
from facegraft.training.mask_loop import train_masks
from facegraft.training.mask_loss import mask_loss, overlap
from facegraft.training.mask_params import MASK_PRESETS, MaskPreset, MaskTrainParams
from facegraft.training.mask_trainer import cooling
from facegraft.training.preview import PREVIEW_NAME
from facegraft.training.run_params import PARAMS_NAME, changed, read_params
from tests.engine.masked_faces import store, tiny_mask_params, with_hulls, with_polygons
from tests.engine.training_faces import tiny_params, two_sides, write_faceset


def saved(run):
    checkpoint = load_checkpoint(run, print, table=MaskTrainParams)
    assert checkpoint is not None
    return checkpoint


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class StopAfter(Silent):
    """Asks to stop after so many iterations, as Enter does."""

    def __init__(self, count: int) -> None:
        self.left, self.unit = count, ""

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        self.unit = unit

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= count * (self.unit == "iterations")

    def take_requests(self) -> list[Request]:
        return [Request.STOP] if self.left <= 0 else []


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three iterations on polygons, and its faceset."""
    folder = tmp_path_factory.mktemp("masks")
    faces = with_polygons(folder / "faces")
    train_masks([faces], folder / "run", tiny_mask_params(target_iterations=3))
    return folder / "run", faces


def test_a_run_leaves_its_options_losses_pictures_and_saves(trained):
    run, _ = trained
    assert tiny_mask_params(target_iterations=3) == read_params(run, MaskTrainParams)
    lines = (run / HISTORY_NAME).read_text().splitlines()
    assert ["iteration,loss,error", 4] == [lines[0], len(lines)]
    for name in (PREVIEW_NAME, CURVE_NAME, PARAMS_NAME):
        assert (run / name).stat().st_size > 0
    checkpoint = saved(run)
    assert (3, (3, 0)) == (checkpoint.iteration, checkpoint.faces)  # the fourth has no label


def test_stopping_and_resuming_gives_the_weights_of_never_having_stopped(trained, tmp_path):
    whole, faces = trained
    params = tiny_mask_params(target_iterations=3)
    stopped = train_masks([faces], tmp_path, params, StopAfter(1))
    assert (1, False) == (stopped.iteration, stopped.reached_target)
    assert train_masks([faces], tmp_path, params).reached_target
    for name, weights in saved(whole).groups["net"].items():
        assert torch.equal(weights, saved(tmp_path).groups["net"][name]), name


def test_a_network_learns_one_set_of_faces(tmp_path):
    faces = with_hulls(tmp_path / "faces", 4)
    params = tiny_mask_params(
        target_iterations=40, batch_size=4, backgrounds=0.0, occluders=0.0, lights=0.0,
        damage=0.0, colors=0.0, random_warp=False, learning_rate=2e-3,
    )  # fmt: skip
    result = train_masks([faces], tmp_path / "run", params)
    errors = np.loadtxt(tmp_path / "run" / HISTORY_NAME, delimiter=",", skiprows=1)[:, 2]
    assert errors[:3].mean() > 0.5 > errors[-3:].mean()
    assert result.losses[1] < 0.5


def test_a_run_begins_with_another_runs_weights(trained, tmp_path):
    pretrained, faces = trained
    progress = Notes()
    params = tiny_mask_params(target_iterations=1, labels="hull", learning_rate=1e-7)
    train_masks([faces], tmp_path, params, progress, pretrained)
    before, after = (saved(run).groups["net"]["head.weight"] for run in (pretrained, tmp_path))
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
    assert any("iteration 3" in note for note in progress.notes)
    assert any("only 4 faces" in note for note in progress.notes)
    with pytest.raises(ParameterError, match="trained already"):
        train_masks([faces], tmp_path, params, pretrained=pretrained)
    with pytest.raises(ParameterError, match="network is light in .* --network light"):
        other = tiny_mask_params(network="xseg")
        train_masks([faces], tmp_path / "other", other, pretrained=pretrained)


def test_new_labels_are_taken_up_when_a_run_goes_on(tmp_path):
    faces = with_polygons(tmp_path / "faces")
    train_masks([faces], tmp_path / "run", tiny_mask_params(target_iterations=1))
    store(replace(faces[-1], polygons=faces[0].polygons), None)
    progress = Notes()
    again = Faceset.open(faces.folder)
    train_masks([again], tmp_path / "run", tiny_mask_params(target_iterations=2), progress)
    assert any("labels are not those" in note for note in progress.notes)
    assert (2, (4, 0)) == (saved(tmp_path / "run").iteration, saved(tmp_path / "run").faces)


def test_what_shapes_a_network_can_not_change_and_the_rest_can(trained):
    run, _ = trained
    params = read_params(run, MaskTrainParams)
    assert params is not None
    assert 1e-4 == changed(params, {"learning_rate": 1e-4}).learning_rate
    for row, value in (("resolution", 96), ("network", "xseg"), ("face_type", "head")):
        with pytest.raises(ParameterError, match=row):
            changed(params, {row: value})


def test_runs_of_the_two_kinds_are_told_apart(trained, tmp_path):
    run, faces = trained
    (tmp_path / "copy").mkdir()
    with pytest.raises(ParameterError, match="mask network.*swap model.*mask train"):
        load_checkpoint(run, print)
    src, dst = two_sides(tmp_path)
    train(src, dst, tmp_path / "swap", tiny_params(target_iterations=1))
    with pytest.raises(ParameterError, match="swap model.*mask network.*facegraft train"):
        train_masks([faces], tmp_path / "swap", tiny_mask_params())
    with pytest.raises(CheckpointError, match="no trained mask network"):
        export_mask_run(tmp_path / "copy", tmp_path / "x.onnx", print)


def test_nothing_is_written_without_labels_or_beside_another_training(tmp_path):
    bare = write_faceset(tmp_path / "bare", 2)
    with pytest.raises(EmptyFaceset, match="mask edit"):
        train_masks([bare], tmp_path / "run", tiny_mask_params())
    assert not (tmp_path / "run" / PARAMS_NAME).exists()
    with lock_run(tmp_path / "run"), pytest.raises(RunInUse):
        train_masks([bare], tmp_path / "run", tiny_mask_params())


@pytest.mark.parametrize(("network", "resolution"), [("light", 80), ("xseg", 96)])
def test_a_resolution_that_does_not_halve_is_refused_with_one_that_does(network, resolution):
    with pytest.raises(ParameterError, match=f"resolution is {resolution}.*for example"):
        tiny_mask_params(network=network, resolution=resolution)


@pytest.mark.parametrize("preset", MaskPreset)
def test_every_preset_is_a_table_of_its_own(preset):
    assert preset.value == parse_values(MaskTrainParams, MASK_PRESETS[preset]).network


def test_the_rate_falls_to_nothing_over_the_last_part_before_the_target():
    params = replace(MaskTrainParams(), target_iterations=100, cool_down=25.0)
    got = [cooling(params, i) for i in (0, 74, 75, 80, 99)]
    np.testing.assert_allclose(got, [1, 1, 1, 0.8, 0.04])
    assert 1 == cooling(replace(params, target_iterations=0), 10**6)


def test_loss_and_overlap_are_those_of_the_known_part():
    face = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    known = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
    logits = torch.tensor([[[[2.0, -1.0], [0.0, 9.0]]]])
    batch = LabelledBatch(torch.zeros(1, 3, 2, 2), face, known)
    p = 1 / (1 + np.exp(-np.array([2.0, -1.0, 0.0])))
    share = (p[0] + p[2] + 1) / (1 + p[1] + 1 + 1)  # minima over maxima, one pixel added to both
    entropy = -np.mean([np.log(p[0]), np.log(1 - p[1]), np.log(p[2])])
    loss, error = mask_loss(logits, batch)
    np.testing.assert_allclose(overlap(logits.sigmoid(), batch), [share], rtol=1e-6)
    np.testing.assert_allclose([loss, error], [entropy + 1 - share, 1 - share], rtol=1e-6)


def test_the_exported_file_answers_as_the_network_and_says_its_face_type(trained, tmp_path):
    run, faces = trained
    exported = export_mask_run(run, tmp_path / "x.onnx", print, name="ben", licence="free")
    assert exported.difference < 1e-4 and 3 == exported.iterations
    segmenter = Segmenter.open(tmp_path / "x.onnx")
    assert (64, FaceType.FULL, ()) == (segmenter.size, segmenter.face_type, segmenter.classes)
    said = json.loads(open_onnx(tmp_path / "x.onnx", None, 0, "").metadata[METADATA_KEY])
    assert ("ben", "free", 3) == (said["name"], said["licence"], said["iterations"])
    pictures = np.stack([network_square(face, segmenter) for face in faces])
    expected = RunMasker(run, print).segment_batch(pictures)
    got = segmenter.segment_batch(pictures)
    np.testing.assert_allclose(got, np.where(expected < 0.1, 0, expected), atol=1e-3)


def test_a_network_that_is_no_number_is_not_exported(tmp_path):
    net = build_mask_net("light", 64)
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    with pytest.raises(ParityError, match="differs by nan"):
        export_mask_net(net, {}, tmp_path / "x.onnx", np.zeros((1, 64, 64, 3), np.float32))
    assert not (tmp_path / "x.onnx").exists()


class Red:
    """A masker that answers with what is red."""

    def __init__(self, size: int, face_type: FaceType) -> None:
        self.size, self.face_type = size, face_type

    def segment_batch(self, squares: np.ndarray) -> np.ndarray:
        return squares[..., 0]


@pytest.mark.parametrize("face_type", [FaceType.FULL, FaceType.WHOLE_FACE])
def test_masks_lie_over_the_stored_picture_whatever_the_network_sees(tmp_path, face_type):
    faces = write_faceset(tmp_path, 2)
    done = apply_masks(faces, Red(192, face_type), "red")
    assert 2 == done.masked
    for face in Faceset.open(tmp_path):
        red = read_image(face)[..., 0].astype(int)
        mask = read_mask(face)
        assert mask is not None and (96, 96) == mask.shape and "red" == face.mask_by
        difference = np.abs(mask - np.where(red < 26, 0, red))
        assert np.median(difference) <= 2 and difference.mean() < 6


def test_a_network_that_sees_less_than_the_square_finds_no_face_beyond(tmp_path):
    faces = write_faceset(tmp_path, 1, face_type=FaceType.WHOLE_FACE)
    apply_masks(faces, Red(64, FaceType.HALF), "red")
    mask = read_mask(Faceset.open(tmp_path)[0])
    assert mask is not None and 0 == mask[:8].max() and mask[48, 48] > 100


def test_drawn_masks_stay_unless_asked_for_and_all_of_it_can_be_undone(tmp_path):
    faces = write_faceset(tmp_path, 3)
    drawn = np.full((96, 96), 200, np.uint8)
    store(faces[0], drawn)
    before = [face.path.read_bytes() for face in faces]
    faces = Faceset.open(tmp_path)
    done = apply_masks(faces, Red(64, FaceType.FULL), "red")
    assert (2, 1) == (done.masked, done.kept)
    assert np.array_equal(drawn, read_mask(Faceset.open(tmp_path)[0]))  # type: ignore[arg-type]
    undo(tmp_path)
    assert before == [face.path.read_bytes() for face in faces]
    assert 3 == apply_masks(faces, Red(64, FaceType.FULL), "red", replace_drawn=True).masked
    assert 3 == remove_masks(Faceset.open(tmp_path))
    assert [None] * 3 == [read_mask(face) for face in Faceset.open(tmp_path)]


def test_removing_keeps_what_people_drew_unless_told(tmp_path):
    faces = with_hulls(tmp_path, 2)
    assert 0 == remove_masks(faces)
    assert 2 == remove_masks(faces, drawn_too=True)


def test_damaged_pictures_are_named_and_the_others_masked(tmp_path):
    faces = write_faceset(tmp_path, 3)
    data = bytearray(faces[1].path.read_bytes())
    data[-200:-20] = bytes(180)
    faces[1].path.write_bytes(data)
    progress = Notes()
    done = apply_masks(Faceset.open(tmp_path), Red(64, FaceType.FULL), "red", progress)
    assert (2, 1) == (done.masked, len(done.damaged))
    assert "00001_0.png" in done.damaged[0] and done.damaged[0] in progress.notes


def test_a_cancelled_apply_leaves_every_face_as_it_was(tmp_path):
    faces = write_faceset(tmp_path, 2)
    before = [face.path.read_bytes() for face in faces]
    progress = Silent()
    progress.cancelled = True
    with pytest.raises(Cancelled):
        apply_masks(faces, Red(64, FaceType.FULL), "red", progress)
    assert before == [face.path.read_bytes() for face in faces]
