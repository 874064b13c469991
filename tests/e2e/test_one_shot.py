"""One project, keyed in Blender: Blender, the command line and MLT render the same picture."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.e2e.three_hosts import (
    HOSTS,
    by_command_line,
    by_mlt,
    difference,
    render_everywhere,
)
from tests.host_plugin.conftest import Blender
from tests.host_plugin.shots import Shot, make_shot
from tests.host_plugin_ofx.mlt_run import Mlt

pytestmark = pytest.mark.slow

LENGTH = 10  # the last frame shows no face
NODE = {
    "params": {"Grain match": 1.0, "Light match": 0.3, "Sharpen mode": 2, "Sharpen amount": 2.0},
    "keys": {
        "Mix": [[1, 0.3], [4, 1.0], [7, 0.6], [10, 0.9]],  # bezier, and linear from frame 7 on
        "Erode": [[2, -30.0], [8, 60.0]],
        "Blur": [[1, 0.0], [6, 80.0], [10, 20.0]],
        "Face scale": [[1, -8.0], [10, 12.0]],
        "Mode": [[1, 1], [4, 3], [7, 2]],
        "Mask mode": [[1, 2], [6, 1], [8, 4]],
        "Transfer mode": [[1, 0], [3, 1], [6, 3]],
        "Masked hist match": [[1, True], [8, False]],
    },
}
HOLDING = ("Mode", "Mask mode", "Transfer mode", "Masked hist match")
EDITS = [
    *(f"[setattr(p, 'interpolation', 'CONSTANT') for p in curve('{name}').keyframe_points]"
      for name in HOLDING),
    "[setattr(p, 'interpolation', 'BEZIER') for p in curve('Mix').keyframe_points[:2]]",
    "[setattr(p, 'interpolation', 'BEZIER') for p in curve('Blur').keyframe_points]",
]  # fmt: skip
HIST_MATCH_FROM = 6  # index of the first frame in that mode


@pytest.mark.blender
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_three_hosts_render_one_project_alike_within_rounding(
    blender: Blender, mlt: Mlt, tmp_path: Path, dtype: type
):
    shot = grainy_shot(tmp_path / "shot", dtype)
    pictures = render_everywhere(shot, blender, mlt, NODE, EDITS)
    assert {host: len(pictures[host]) for host in HOSTS} == dict.fromkeys(HOSTS, LENGTH)
    one_8bit_code = np.iinfo(dtype).max // 255
    for index, source in enumerate(shot.frames):
        merged = pictures["command line"][index]
        change = int(difference(merged, source).max())
        assert change > 20 * one_8bit_code if index < LENGTH - 1 else change == 0, index
        for host in ("Blender", "MLT"):
            off = int(difference(pictures[host][index], merged).max())
            assert off <= bound(host, dtype, index), (host, index)


@pytest.mark.parametrize("first", [0, 4])
def test_a_filter_that_begins_later_in_mlt_goes_on_with_the_clip_s_own_frames(
    mlt: Mlt, tmp_path: Path, first: int
):
    """Keys, faces and grain."""
    shot = grainy_shot(tmp_path / "shot", np.uint8)
    mix = [[0, 0.2, "bezier", None, [3, 0.2]], [6, 1.0, "linear"], [8, 0.5]]
    params = {"mix": {"keys": mix}, "mode": {"keys": [[2, "seamless"], [6, "overlay"]]}, "grain": 2}
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"version": 2, "params": params}))
    expected = by_command_line(shot, keys)
    pictures = by_mlt(shot, mlt, keys, first)
    assert len(pictures) == LENGTH - first
    for index, picture in enumerate(pictures, first):
        assert difference(picture, expected[index]).max() <= 1, index
        assert (difference(picture, shot.frames[index]).max() > 20) == (index < LENGTH - 1)


def grainy_shot(folder: Path, dtype: type) -> Shot:
    """With noise of two 8-bit codes, so that grain is matched; its seeds must be the same too."""
    shot = make_shot(folder, LENGTH)
    noise = np.random.default_rng(4)
    for index, frame in enumerate(shot.frames):
        grainy = np.clip(frame + noise.normal(0, 2, frame.shape), 0, 255)
        shot.frames[index] = np.round(grainy * (np.iinfo(dtype).max // 255)).astype(dtype)
        cv2.imwrite(str(folder / f"src_{index + 1:04d}.png"), shot.frames[index][..., ::-1])
    return shot


def bound(host: str, dtype: type, index: int) -> int:
    """Codes by which a host may differ from the command line.

    Blender takes the plates to linear light and back in float32, a few millionths off, which
    sharpening enlarges to a sixteenth of an 8-bit code. Matching histograms sorts values into bins,
    where the last bit of a float can count for half an 8-bit code.
    """
    if dtype is np.uint8:
        return 1
    if index >= HIST_MATCH_FROM:
        return 128
    return {"Blender": 16, "MLT": 1}[host]
