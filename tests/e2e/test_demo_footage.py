"""The demo's clips: made by the real script, their faces found by the real detector."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import MissingWeights
from facegraft.faces.detect import FaceDetector
from facegraft.faces.face import Face
from facegraft.media.open import open_source

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow

Clip = tuple[list[np.ndarray], list[list[Face]]]


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    try:
        return FaceDetector()
    except MissingWeights as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def clips(detector: FaceDetector, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    folder = tmp_path_factory.mktemp("footage")
    script = REPOSITORY / "install" / "demo" / "footage.py"
    subprocess.run([sys.executable, script, folder], check=True)
    found: dict[str, Clip] = {}
    for name in ("src", "dst"):
        with open_source(folder / f"{name}.mp4") as source:
            assert source.info.has_audio and source.info.fps == 25
            frames = [frame.image_u8 for frame in source]
        found[name] = frames, [detector.detect(frame) for frame in frames]
    return found


def test_faces_are_found_in_at_least_98_percent_of_80_or_more_frames(
    clips: dict[str, Clip],
) -> None:
    for frames, faces in clips.values():
        assert len(frames) >= 80
        assert sum(len(found) == 1 for found in faces) >= 0.98 * len(frames)


def test_src_turns_further_than_dst_to_both_sides(clips: dict[str, Clip]) -> None:
    yaw = {n: [f[0].pose.yaw for f in faces if f] for n, (_, faces) in clips.items()}
    assert min(yaw["src"]) < min(yaw["dst"]) < -5
    assert max(yaw["src"]) > max(yaw["dst"]) > 5


def test_mouth_and_eyes_open_and_close(clips: dict[str, Clip]) -> None:
    for _, faces in clips.values():
        points = np.array([f[0].landmarks for f in faces if f])
        unit = np.linalg.norm(points[:, 45] - points[:, 36], axis=1)
        mouth = np.linalg.norm(points[:, 66] - points[:, 62], axis=1) / unit
        eye = np.linalg.norm(points[:, 41] - points[:, 37], axis=1) / unit
        assert np.ptp(mouth) > 0.15  # of the distance between the outer eye corners
        assert eye.min() < 0.6 * np.median(eye)


def test_the_two_people_have_different_proportions(clips: dict[str, Clip]) -> None:
    jaw = {}
    for name, (_, faces) in clips.items():
        points = np.array([f[0].landmarks for f in faces if f and abs(f[0].pose.yaw) < 5])
        width = np.linalg.norm(points[:, 12] - points[:, 4], axis=1)
        jaw[name] = float(np.mean(width / np.linalg.norm(points[:, 45] - points[:, 36], axis=1)))
    assert jaw["dst"] > 1.04 * jaw["src"]
