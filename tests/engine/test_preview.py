"""The preview sheet."""

import cv2
import numpy as np
import pytest
import torch

from facegraft.models.build import build
from facegraft.training.preview import (
    COLUMNS,
    choose_faces,
    preview_sheet,
    write_png,
    write_preview,
)
from tests.engine.training_faces import tiny_params, write_faceset

LABEL, CELL, GAP = 26, 128, 12


@pytest.fixture(scope="module")
def sheet_of():
    torch.manual_seed(0)
    net = build(tiny_params().spec)
    faces = torch.zeros(3, 64, 64, 4, dtype=torch.uint8)
    faces[..., :3] = torch.tensor([200, 100, 50])
    faces[:, 16:48, 16:48, 3] = 255
    return net, faces, preview_sheet(net, faces, 255 - faces, None)


def test_a_row_per_face_and_ten_columns(sheet_of):
    sheet = sheet_of[2]
    assert (LABEL + 3 * CELL, 2 * len(COLUMNS) * CELL + GAP, 3) == sheet.shape
    assert sheet[:LABEL, :CELL].max() > 150  # a title is there


def test_columns_show_what_their_titles_say(sheet_of):
    net, faces, sheet = sheet_of
    first = sheet[LABEL : LABEL + CELL]
    assert (first[:, :CELL] == (200, 100, 50)).all()  # src
    assert (first[:, 2 * CELL : 3 * CELL] == (55, 155, 205)).all()  # dst
    picture = (255 - faces[:, :, :, :3]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        swap = (net.swap(picture).src_dst[0].permute(1, 2, 0).numpy() * 255).round()
    enlarged = cv2.resize(swap.astype(np.uint8), (CELL, CELL), interpolation=cv2.INTER_CUBIC)
    assert np.abs(enlarged.astype(int) - first[:, 4 * CELL : 5 * CELL]).max() <= 1


def test_the_twin_is_black_outside_the_mask(sheet_of):
    twin = sheet_of[2][LABEL : LABEL + CELL, 5 * CELL + GAP :][:, :CELL]
    assert twin[:24].max() == 0 and twin[:, :24].max() == 0
    assert (twin[40:88, 40:88] == (200, 100, 50)).all()


def test_faces_are_spread_over_head_turns(tmp_path):
    faces = write_faceset(tmp_path, 12)  # from -30 to 30 degrees
    yaws = [faces[i].pose.yaw for i in choose_faces(faces)]
    assert yaws == sorted(yaws)
    assert yaws[0] < -15 < yaws[1] < 0 < yaws[2] < 15 < yaws[3]
    assert [0, 1] == sorted(choose_faces(faces[:2]))


@pytest.mark.parametrize("count", [3, 4, 9, 12])
def test_other_previews_show_every_face_before_one_comes_again(tmp_path, count):
    faces = write_faceset(tmp_path, count)
    rounds = -(-count // 4)  # faces in the largest of up to four groups
    shown = [choose_faces(faces, number=n) for n in range(rounds)]
    assert set(range(count)) == {i for chosen in shown for i in chosen}
    assert choose_faces(faces) == shown[0]
    for chosen in shown:
        assert len(set(chosen)) == min(4, count)
        yaws = [faces[i].pose.yaw for i in chosen]
        assert yaws == sorted(yaws)


def test_more_channels_than_rgb_and_mask_are_not_shown(sheet_of):
    net, faces, sheet = sheet_of
    parts = torch.full((3, 64, 64, 1), 99, dtype=torch.uint8)
    src, dst = torch.cat([faces, parts], dim=3), torch.cat([255 - faces, parts], dim=3)
    assert np.array_equal(sheet, preview_sheet(net, src, dst, None))


def test_sheets_are_kept_on_request_under_their_iteration(tmp_path):
    sheet = np.full((40, 60, 3), (200, 100, 50), np.uint8)
    write_preview(tmp_path, 1234, sheet, history=False)
    assert not (tmp_path / "history").exists()
    write_preview(tmp_path, 1234, sheet, history=True)
    kept = cv2.imread(str(tmp_path / "history" / "00001234.jpg"))
    assert kept is not None
    assert np.abs(kept[..., ::-1].astype(int) - sheet).max() <= 3
    assert np.array_equal(sheet, cv2.imread(str(tmp_path / "preview.png"))[..., ::-1])  # type: ignore[index]


def test_a_png_is_read_back_as_written(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    write_png(tmp_path / "sheet.png", pixels)
    assert np.array_equal(pixels, cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1])  # type: ignore[index]
