"""Options that change while a run exists."""

import pytest

from facegraft.errors import CheckpointError, ParameterError
from facegraft.training.edits import changed_params, set_params
from facegraft.training.run_params import PARAMS_NAME, read_params, to_toml
from tests.engine.training_faces import tiny_params


@pytest.fixture
def run(tmp_path):
    (tmp_path / PARAMS_NAME).write_text(to_toml(tiny_params()))
    return tmp_path


def test_values_that_are_set_are_what_a_running_training_finds(run):
    written = tiny_params()
    notes: list[str] = []
    assert changed_params(run, written, notes.append) is None
    before, after = set_params(run, {"random_warp": False, "learning_rate": 1e-5})
    assert written == before
    assert (False, 1e-5) == (after.random_warp, after.learning_rate)
    assert after == read_params(run) == changed_params(run, written, notes.append)
    assert changed_params(run, after, notes.append) is None
    assert [] == notes


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ("learning_rate = 7", "learning_rate is 7; the limits are"),
        ("learning_rate = ", "params.toml"),
        ("learning_rat = 1e-4", "unknown option learning_rat"),
        ("resolution = 96", "resolution is 64 in this run and can not become 96"),
    ],
)
def test_an_edit_that_can_not_be_used_is_said_and_changes_nothing(run, edit, reason):
    path = run / PARAMS_NAME
    key = edit.partition(" ")[0]
    lines = [x for x in path.read_text().splitlines() if not x.startswith(f"{key} =")]
    path.write_text("\n".join([*lines, edit]) + "\n")
    notes: list[str] = []
    assert changed_params(run, tiny_params(), notes.append) is None
    assert 1 == len(notes) and "are not used" in notes[0] and reason in notes[0]


def test_a_refused_value_leaves_the_file_alone(run):
    before = (run / PARAMS_NAME).read_bytes()
    with pytest.raises(ParameterError, match="can not become 96"):
        set_params(run, {"resolution": 96, "random_warp": False})
    assert before == (run / PARAMS_NAME).read_bytes()
    with pytest.raises(CheckpointError, match="holds no run.*facegraft train"):
        set_params(run / "elsewhere", {"random_warp": False})


def test_a_file_that_is_gone_is_as_good_as_unchanged(run):
    (run / PARAMS_NAME).unlink()
    assert changed_params(run, tiny_params(), print) is None
