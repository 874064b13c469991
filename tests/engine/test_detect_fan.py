"""The face-alignment backend: what it says when something is missing, its crop and its decoding.

The library is optional, so a network of the same interface (heat maps of 64 x 64 for 68 points,
loaded from a state dict) stands in for its class; where the library is installed, its own class
runs once with random weights.
"""

import sys
import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facegraft.errors import BadWeights, MissingExtra, MissingWeights
from facegraft.faces.align import transform_points
from facegraft.faces.fan import CROP, FanDetector, frame_to_crop, peaks
from facegraft.faces.landmarks import HEAD_3D, LEFT_EYE, RIGHT_EYE
from tests.weights_fixture import needs_weights, portrait, portrait_landmarks

torch = pytest.importorskip("torch")
FILE = "2DFAN4-11f355bf06.pth.tar"


class Peaks(torch.nn.Module):
    """Says for every crop that point i lies in cell `cells[i]`; two stacks, like FAN's."""

    def __init__(self, modules: int) -> None:
        super().__init__()
        assert modules == 4
        self.register_buffer("cells", torch.zeros(68, 2, dtype=torch.int64))

    def forward(self, crops: Any) -> list[Any]:
        assert crops.shape[1:] == (3, CROP, CROP) and 0 <= crops.min() and crops.max() <= 1
        maps = torch.zeros(len(crops), 68, 64, 64)
        maps[:, torch.arange(68), self.cells[:, 1], self.cells[:, 0]] = 1.0
        return [torch.zeros_like(maps), maps]


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library in place of which `Peaks` stands, and where its weights would be."""
    package, models = types.ModuleType("face_alignment"), types.ModuleType("face_alignment.models")
    models.FAN = Peaks  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "face_alignment", package)
    monkeypatch.setitem(sys.modules, "face_alignment.models", models)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints" / FILE


def test_without_the_library_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(MissingExtra, match="face_alignment.*install.py env --fan"):
        FanDetector()


def test_without_its_weights_the_message_names_file_and_commands(checkpoint: Path) -> None:
    with pytest.raises(MissingWeights, match=rf"{FILE} \(96 MB\).*weights fetch fan_2d.*import"):
        FanDetector()


@needs_weights
@pytest.mark.parametrize("content", [b"no archive", b"another network"])
def test_a_file_with_other_content_is_refused(checkpoint: Path, content: bytes) -> None:
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(content)
    if content == b"another network":
        torch.save({"weight": torch.zeros(3)}, checkpoint)
    with pytest.raises(BadWeights, match=FILE):
        FanDetector()


@needs_weights
def test_points_come_from_the_heat_maps_back_into_the_frame(checkpoint: Path) -> None:
    checkpoint.parent.mkdir(parents=True)
    to_crop = frame_to_crop(portrait_landmarks())
    expected = transform_points(portrait_landmarks().astype(np.float64), to_crop)
    cells = torch.from_numpy((expected // 4).astype(np.int64))
    torch.save({"cells": cells}, checkpoint)
    (face,) = FanDetector(threads=1).detect(portrait())
    found = transform_points(face.landmarks.astype(np.float64), to_crop)
    assert np.abs(found - expected).max() <= 2.001  # half a cell of 4 crop pixels
    assert face.box[0] == face.landmarks[:, 0].min() and face.raw_landmarks is not None


def test_the_crop_is_the_square_of_the_networks_training() -> None:
    """Side 200/195 of width + height of the points' box, centre 0.12 heights above its middle."""
    points = HEAD_3D[:, :2] * 0.7 + [300, 200]
    low, high = points.min(axis=0), points.max(axis=0)
    width, height = high - low
    side = 200 * (width + height) / 195
    # make the eye line level so that the crop is not turned
    center = (low + high) / 2 - [0, 0.12 * height]
    matrix = frame_to_crop(points)
    tilt = points[LEFT_EYE].mean(axis=0) - points[RIGHT_EYE].mean(axis=0)
    assert abs(tilt[1] / tilt[0]) < 0.01
    corner = matrix @ [*(center - side / 2), 1]
    np.testing.assert_allclose(corner, [0, 0], atol=3)
    assert np.sqrt(np.linalg.det(matrix[:, :2])) == pytest.approx(CROP / side, rel=0.01)


def test_the_crop_turns_with_the_face() -> None:
    points = HEAD_3D[:, :2] + [300, 200]
    turn = cv2.getRotationMatrix2D((310.0, 190.0), 50, 1.3)
    direct = transform_points(points, frame_to_crop(points))
    turned = points @ turn[:, :2].T + turn[:, 2]
    np.testing.assert_allclose(transform_points(turned, frame_to_crop(turned)), direct, atol=1e-6)


def test_peaks_are_found_to_a_quarter_of_a_cell() -> None:
    """A bump between two cells: the centre of the higher one, a quarter towards the other."""
    maps = np.zeros((68, 64, 64), np.float32)
    maps[:, 20, 30], maps[:, 20, 31], maps[:, 19, 30] = 1.0, 0.6, 0.2
    maps[1] = 0
    maps[1, 0, 63] = 1.0  # at the edge nothing is moved
    found = peaks(maps)
    np.testing.assert_allclose(found[0], [4 * 30.75, 4 * 20.25])
    np.testing.assert_allclose(found[1], [4 * 63.5, 4 * 0.5])


@needs_weights
@pytest.mark.slow
def test_the_librarys_own_network_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = "face_alignment is not installed: python3 install/install.py env --fan"
    models = pytest.importorskip("face_alignment.models", reason=why)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoint = tmp_path / "hub" / "checkpoints" / FILE
    checkpoint.parent.mkdir(parents=True)
    torch.save(models.FAN(4).state_dict(), checkpoint)
    (face,) = FanDetector(threads=1).detect(portrait())
    assert face.landmarks.shape == (68, 2) and np.isfinite(face.landmarks).all()
