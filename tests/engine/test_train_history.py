"""The loss file and its curve."""

import numpy as np
import pytest

from facegraft.errors import WriteError
from facegraft.training.history import HISTORY_NAME, History, draw_curve

BLUE, ORANGE = (31, 119, 180), (214, 98, 20)


def filled(folder, count: int) -> History:
    history = History(folder, 0)
    for i in range(1, count + 1):
        history.add(i, 1 / i, 2 / i)
    history.flush()
    return history


def test_losses_are_appended_line_by_line(tmp_path):
    filled(tmp_path, 3)
    lines = (tmp_path / HISTORY_NAME).read_text().splitlines()
    assert ["iteration,src,dst", "1,1,2", "2,0.5,1", "3,0.33333,0.66667"] == lines


def test_resuming_cuts_lines_after_the_save_and_a_torn_last_one(tmp_path):
    filled(tmp_path, 5)
    with open(tmp_path / HISTORY_NAME, "a") as file:
        file.write("6,0.1")  # a crash in mid-line
    history = History(tmp_path, 3)
    assert [1, 2, 3] == history.rows[:, 0].tolist()
    history.add(4, 9, 9)
    history.flush()
    assert "4,9,9" == (tmp_path / HISTORY_NAME).read_text().splitlines()[-1]
    assert [1, 2, 3, 4] == History(tmp_path, 99).rows[:, 0].tolist()


def test_a_file_that_can_not_be_written_is_a_write_error(tmp_path):
    history = filled(tmp_path, 1)
    history.path.unlink()
    history.path.mkdir()
    history.add(2, 1, 1)
    with pytest.raises(WriteError, match=HISTORY_NAME):
        history.flush()


def row_of(picture: np.ndarray, color: tuple[int, int, int], columns: slice) -> float:
    """Mean height of a line of `color` in the curve's area, in px from the top."""
    area = picture[45:-55, columns].astype(int)
    near = np.abs(area - np.array(color)).max(axis=2) < 40
    assert near.any()
    return float(np.nonzero(near)[0].mean())


def test_a_falling_loss_goes_down_and_the_larger_one_lies_above():
    steps = np.arange(1, 2001.0)
    picture = draw_curve(np.stack([steps, 1 / steps**0.5, 4 / steps**0.5], axis=1))
    assert (420, 960, 3) == picture.shape
    left, right = slice(100, 200), slice(800, 930)
    for color in (BLUE, ORANGE):
        assert row_of(picture, color, left) + 50 < row_of(picture, color, right)
    assert row_of(picture, ORANGE, right) + 20 < row_of(picture, BLUE, right)


@pytest.mark.parametrize("rows", [[], [(1, 1, 1)], [(1, float("nan"), 1), (2, 0, 0)]])
def test_too_few_losses_give_an_empty_sheet(rows):
    assert (420, 960, 3) == draw_curve(np.array(rows).reshape(-1, 3)).shape


def test_equal_losses_and_long_runs_are_drawn(tmp_path):
    constant = np.stack([np.arange(1, 4.0), np.full(3, 0.5), np.full(3, 0.5)], axis=1)
    long = np.stack([np.arange(1, 100_001.0), np.full(100_000, 0.3), np.full(100_000, 7)], axis=1)
    for rows in (constant, long):
        row_of(draw_curve(rows), ORANGE, slice(100, 900))
