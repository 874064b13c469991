"""What changes within a run: warp, options, pretraining, a loss that explodes, requests."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facegraft.errors import ParameterError, RunInUse, TrainingDiverged
from facegraft.faces.faceset import Faceset
from facegraft.progress import Request, Silent
from facegraft.training.book import PRETRAIN_HISTORY
from facegraft.training.checkpoint import save_checkpoint
from facegraft.training.edits import set_params
from facegraft.training.history import HISTORY_NAME
from facegraft.training.lock import lock_run
from facegraft.training.loop import train
from facegraft.training.run_params import pretraining_values, read_params
from facegraft.training.saves import list_saves
from facegraft.training.snapshots import BACKUPS_FOLDER
from tests.engine.training_faces import saved, tiny_params, two_sides

Sides = tuple[Faceset, Faceset]


@pytest.fixture(scope="module")
def sides(tmp_path_factory) -> Sides:
    return two_sides(tmp_path_factory.mktemp("faces"))


class Script(Silent):
    """Does something after given iterations of the session, as a user would."""

    def __init__(self, **at: object) -> None:
        self.at = at  # "after2": Request or function
        self.done = 0
        self.counting = False
        self.notes: list[str] = []
        self._waiting: list[Request] = []

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        self.counting = unit == "iterations"

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count * self.counting
        action = self.at.pop(f"after{self.done}", None) if self.counting else None
        if isinstance(action, Request):
            self._waiting.append(action)
        elif callable(action):
            action()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def take_requests(self) -> list[Request]:
        taken, self._waiting = self._waiting, []
        return taken


def iterations(folder: Path) -> list[int]:
    return np.loadtxt(folder / HISTORY_NAME, delimiter=",", skiprows=1, ndmin=2)[:, 0].tolist()


def same_weights(a: Path, b: Path) -> bool:
    first, second = saved(a).groups["net"], saved(b).groups["net"]
    return all(torch.equal(first[name], second[name]) for name in first)


def test_warp_until_equals_switching_it_off_by_hand(sides: Sides, tmp_path):
    """liae, where the shared inter stops with the warp."""
    options = {"architecture": "liae-ud", "target_iterations": 4}
    train(*sides, tmp_path / "one", tiny_params(**options, warp_iterations=2))
    train(*sides, tmp_path / "two", tiny_params(**{**options, "target_iterations": 2}))
    train(*sides, tmp_path / "two", tiny_params(**options, random_warp=False))
    assert same_weights(tmp_path / "one", tmp_path / "two")


def test_options_edited_while_it_trains_count_from_the_next_save(sides: Sides, tmp_path):
    edit = Script(
        after2=lambda: set_params(tmp_path, {"learning_rate": 1e-4, "target_iterations": 5}),
        after3=Request.SAVE,
    )
    result = train(*sides, tmp_path, tiny_params(target_iterations=50), edit)
    assert (5, 5, True) == (result.iteration, result.session_iterations, result.reached_target)
    assert "the options of the run were edited; going on with them" in edit.notes
    assert list(range(1, 6)) == iterations(tmp_path)
    assert 1e-4 == saved(tmp_path).params.learning_rate


def test_requests_stop_save_and_back_up(sides: Sides, tmp_path):
    script = Script(after2=Request.BACKUP, after3=Request.NEXT_PREVIEW, after4=Request.STOP)
    result = train(*sides, tmp_path, tiny_params(), script)
    assert (4, False) == (result.iteration, result.reached_target)
    assert 4 == saved(tmp_path).iteration
    assert [3] == [saved(p).iteration for p in (tmp_path / BACKUPS_FOLDER).iterdir()]


def test_pretraining_leaves_faces_and_forgets_people(sides: Sides, tmp_path):
    """New inters, other weights as they were, iterations from 0, the old losses beside."""
    options = {"target_iterations": 2}
    train(sides[0], sides[0], tmp_path, tiny_params(pretrain=True, **options))
    before = saved(tmp_path)
    assert before.params.pretrain
    script = Script()
    result = train(*sides, tmp_path, tiny_params(target_iterations=1), script)
    assert (1, 1) == (result.iteration, result.session_iterations)
    assert "pretraining is over: the inters begin anew, iterations count from 0" in script.notes
    assert (tmp_path / PRETRAIN_HISTORY).exists() and [1] == iterations(tmp_path)
    after = saved(tmp_path)
    for name, value in before.groups["net"].items():
        if name.endswith("weight"):
            moved = (after.groups["net"][name] - value).abs().max()
            assert (moved > 1e-2) == name.startswith("inter."), name  # a step moves less


def test_pretraining_switches_the_extras_off():
    values = pretraining_values(
        tiny_params(pretrain=True, gan_power=0.1, true_face_power=0.1, lr_dropout=True)
    )
    assert (0.0, 0.0, False) == (values.gan_power, values.true_face_power, values.lr_dropout)
    assert (False, True, True) == (values.random_warp, values.random_src_flip, values.uniform_yaw)


def test_another_runs_weights_begin_a_new_run_only(sides: Sides, tmp_path):
    train(*sides, tmp_path / "old", tiny_params(target_iterations=2, seed=7))
    script = Script()
    params = tiny_params(target_iterations=1, learning_rate=1e-7)
    train(*sides, tmp_path / "new", params, script, pretrained=tmp_path / "old")
    old, new = (saved(tmp_path / name).groups["net"] for name in ("old", "new"))
    for name in old:
        torch.testing.assert_close(new[name], old[name], rtol=0, atol=1e-5)
    with pytest.raises(ParameterError, match="is trained already"):
        train(*sides, tmp_path / "new", params, pretrained=tmp_path / "old")


def broken_save(run: Path) -> list[Path]:
    """A save after the good one whose weights are no numbers; all saves then."""
    good = saved(run)
    broken = {name: tensor * float("nan") for name, tensor in good.groups["net"].items()}
    save_checkpoint(run, replace(good, groups={**good.groups, "net": broken}))
    return list_saves(run)


def test_a_loss_that_explodes_goes_back_to_a_good_save_with_half_the_rate(sides: Sides, tmp_path):
    train(*sides, tmp_path, tiny_params(target_iterations=1))
    broken_save(tmp_path)
    script = Script()
    result = train(*sides, tmp_path, tiny_params(target_iterations=3, learning_rate=4e-5), script)
    assert 3 == result.iteration and np.isfinite([result.src_loss, result.dst_loss]).all()
    assert 1e-5 == read_params(tmp_path).learning_rate  # type: ignore[union-attr]
    assert all(torch.isfinite(v).all() for v in saved(tmp_path).groups["net"].values())
    warnings = [text for text in script.notes if text.startswith("WARNING")]
    assert 2 == len(warnings) and "learning_rate 2e-05" in warnings[0]


def test_asked_to_stop_a_loss_that_explodes_ends_the_run_with_its_saves(sides: Sides, tmp_path):
    train(*sides, tmp_path, tiny_params(target_iterations=1))
    before = broken_save(tmp_path)
    with pytest.raises(TrainingDiverged, match="at iteration 2; the last save is kept"):
        train(*sides, tmp_path, tiny_params(target_iterations=3, on_divergence="stop"))
    assert before == list_saves(tmp_path)


def test_a_run_trains_once_at_a_time(sides: Sides, tmp_path):
    with lock_run(tmp_path), pytest.raises(RunInUse):
        train(*sides, tmp_path, tiny_params(target_iterations=1))
