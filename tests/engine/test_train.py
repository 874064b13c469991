"""The training loop with the smallest real networks."""

import cv2
import numpy as np
import pytest
import torch

from facegraft.errors import ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.progress import Silent
from facegraft.training.batches import batch_plan
from facegraft.training.book import CURVE_NAME
from facegraft.training.history import HISTORY_NAME
from facegraft.training.lock import LOCK_NAME
from facegraft.training.loop import train
from facegraft.training.params import Device, Precision
from facegraft.training.preview import PREVIEW_NAME
from facegraft.training.run_params import PARAMS_NAME, read_params
from facegraft.training.saves import SAVES_FOLDER, list_saves
from facegraft.training.setup import choose_device, choose_precision
from tests.engine.training_faces import saved, tiny_params, two_sides

Sides = tuple[Faceset, Faceset]


@pytest.fixture(scope="module")
def sides(tmp_path_factory) -> Sides:
    return two_sides(tmp_path_factory.mktemp("faces"))


class StopAfter(Silent):
    """Presses Ctrl-C in iteration `count`."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.cancelled = False
        self.counting = False
        self.notes: list[str] = []

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        self.counting = unit == "iterations"

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= count * self.counting
        self.cancelled = self.left <= 0

    def note(self, text: str) -> None:
        self.notes.append(text)


def losses(folder) -> np.ndarray:
    return np.loadtxt(folder / HISTORY_NAME, delimiter=",", skiprows=1, ndmin=2)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "rmsprop", "lr_dropout": True, "unwarped_every": 2, "learning_rate": 2e-4},
        {
            "optimizer": "adabelief",
            "lr_cycle": 5,
            "random_src_flip": True,
            "architecture": "liae-ud",
        },
    ],
    ids=["as quick96", "as saehd"],
)
def test_stopping_and_resuming_changes_nothing(sides: Sides, tmp_path, options):
    """2 iterations, then 3 more in a second session, equal 5 in one, to the last bit."""
    params = tiny_params(**options, target_iterations=5)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(*sides, whole, params)
    stopped = train(*sides, parts, params, StopAfter(2))
    assert (2, False) == (stopped.iteration, stopped.reached_target)
    resumed = train(*sides, parts, params)
    assert (5, 3, True) == (resumed.iteration, resumed.session_iterations, resumed.reached_target)
    expected, found = saved(whole), saved(parts)
    assert expected.iteration == found.iteration == 5
    assert expected.groups.keys() == found.groups.keys() == {"net", "optimizer"}
    for group, tensors in expected.groups.items():
        assert tensors.keys() == found.groups[group].keys() != set()
        for name, tensor in tensors.items():
            assert torch.equal(tensor, found.groups[group][name]), name
    assert np.array_equal(losses(whole), losses(parts))


def test_the_loss_falls_and_the_run_folder_is_complete(sides: Sides, tmp_path):
    params = tiny_params(target_iterations=20, learning_rate=3e-4, optimizer="rmsprop")
    result = train(*sides, tmp_path, params)
    curve = losses(tmp_path)
    assert list(range(1, 21)) == curve[:, 0].tolist()
    assert curve[-5:, 1].mean() < 0.9 * curve[:5, 1].mean()
    assert curve[-5:, 2].mean() < 0.9 * curve[:5, 2].mean()
    assert curve[-1, 1] == pytest.approx(result.src_loss, rel=1e-4)
    assert params == read_params(tmp_path)
    assert (420, 960) == cv2.imread(str(tmp_path / CURVE_NAME)).shape[:2]  # type: ignore[union-attr]
    assert cv2.imread(str(tmp_path / PREVIEW_NAME)) is not None
    assert 0 < result.waiting_seconds < result.session_seconds
    found = saved(tmp_path)
    assert (4, 64, 64, 3) == tuple(found.crops.shape)
    assert (sides[0].digest, sides[1].digest) == (found.src_digest, found.dst_digest)
    assert (5, 4) == found.faces
    assert ["000001_00000001", "000002_00000020"] == [path.name for path in list_saves(tmp_path)]
    names = {SAVES_FOLDER, HISTORY_NAME, PARAMS_NAME, LOCK_NAME}
    assert names | {CURVE_NAME, PREVIEW_NAME} == {path.name for path in tmp_path.iterdir()}


def test_a_run_at_its_target_changes_nothing_and_says_so(sides: Sides, tmp_path):
    params = tiny_params(target_iterations=1)
    train(*sides, tmp_path, params)
    before = list_saves(tmp_path)
    progress = StopAfter(1)
    result = train(*sides, tmp_path, params, progress)
    assert any("at iteration 1 and target_iterations is 1" in note for note in progress.notes)
    assert (1, 0, True) == (result.iteration, result.session_iterations, result.reached_target)
    assert before == list_saves(tmp_path)


def test_changing_the_networks_of_a_run_is_refused_and_nothing_is_touched(sides: Sides, tmp_path):
    train(*sides, tmp_path, tiny_params(target_iterations=1))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.name != LOCK_NAME}
    with pytest.raises(ParameterError, match="d_dims is 16 in this run and can not become 32"):
        train(*sides, tmp_path, tiny_params(target_iterations=2, d_dims=32))
    after = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.name != LOCK_NAME}
    assert before == after


def test_changes_worth_knowing_are_noted_on_resuming(sides: Sides, tmp_path):
    train(*sides, tmp_path, tiny_params(target_iterations=1))
    progress = StopAfter(1)
    train(sides[1], sides[1], tmp_path, tiny_params(optimizer="rmsprop"), progress)
    assert "the src faces are not those that this run was trained on so far" in progress.notes
    assert "the optimizer is now rmsprop; it starts without memory" in progress.notes
    assert {"step", "square"} == {n.rpartition(".")[2] for n in saved(tmp_path).groups["optimizer"]}


def test_every_third_iteration_repeats_the_batch_before_it_unwarped():
    """DeepFaceLab's Quick96: iterations 3, 6, 9, ... counted from 0."""
    assert [(0, True), (1, True), (2, True), (2, False), (3, True), (4, True), (4, False)] == [
        batch_plan(i, 3) for i in range(7)
    ]
    assert [(i, True) for i in range(5)] == [batch_plan(i, 0) for i in range(5)]


@pytest.mark.slow  # emulated on processors without bf16
def test_bf16_trains_as_float32_does(sides: Sides, tmp_path):
    """CPU twin of what a GPU does by itself; the two differ by bf16's three digits."""
    results = [
        train(*sides, tmp_path / name, tiny_params(precision=name, target_iterations=2))
        for name in ("fp32", "bf16")
    ]
    assert results[0].src_loss == pytest.approx(results[1].src_loss, rel=0.01)
    assert results[0].dst_loss == pytest.approx(results[1].dst_loss, rel=0.01)
    assert results[0].src_loss != results[1].src_loss


def test_device_and_precision_follow_the_options():
    cpu = torch.device("cpu")
    assert cpu == choose_device(tiny_params(device="cpu"))
    assert choose_precision(tiny_params(), cpu) is None
    assert torch.bfloat16 is choose_precision(tiny_params(precision=Precision.BF16), cpu)
    if not torch.cuda.is_available():
        with pytest.raises(ParameterError, match="device is cuda, and torch finds no CUDA GPU"):
            choose_device(tiny_params(device=Device.CUDA))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_in_bf16_and_saves_what_a_cpu_loads(sides: Sides, tmp_path):
    params = tiny_params(device="cuda", target_iterations=40, learning_rate=1e-3)
    train(*sides, tmp_path, params)
    curve = losses(tmp_path)
    assert 40 == len(curve)
    assert curve[-5:, 1].mean() < curve[:5, 1].mean()
    assert all(tensor.device.type == "cpu" for tensor in saved(tmp_path).groups["net"].values())
