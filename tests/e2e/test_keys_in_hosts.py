"""Keyframes at their edges: what the engine is asked for by Blender and by MLT, frame by frame.

The reference is `facegraft merge`'s own reading of the exported file.
"""

from pathlib import Path

import pytest

from facegraft.controls import plain_values
from facegraft.merge.animation import load_animation
from tests.e2e.conftest import Recorder
from tests.e2e.three_hosts import by_mlt
from tests.host_plugin.conftest import Blender
from tests.host_plugin.shots import make_shot
from tests.host_plugin_ofx.mlt_run import Mlt

pytestmark = [pytest.mark.blender, pytest.mark.slow]

LENGTH = 9
KEYS = {
    "Mix": [[3, 0.25], [6, 0.75]],  # nothing before the first key, nothing after the last
    "Erode": [[4, 30.0]],  # one alone
    "Morph": [[-4, 0.0], [3, 1.0]],  # begins before the clip
    "Grain match": [[-9, 0.5], [-4, 1.5]],  # ends before it
    "Face scale": [[2.5, -10.0], [6.25, 20.0]],  # between frames
    "Blur": [[1, 0.0], [4, 390.0], [9, 50.0]],  # overshoots its limit of 400
    "Motion blur": [[1, 100.0], [5, 0.0], [9, 60.0]],
    "Mode": [[3, 1], [6, 3]],
    "Mask mode": [[2, 1], [5, 2], [5.5, 3], [7, 0]],
    "Transfer mode": [[5, 2]],
    "Masked hist match": [[1, True], [4, False]],
    "Hist match threshold": [[1, 255], [9, 100]],  # whole numbers on a line
}
HOLDING = ("Mode", "Mask mode", "Transfer mode", "Masked hist match", "Motion blur")
EDITS = [
    *(f"[setattr(p, 'interpolation', 'CONSTANT') for p in curve('{name}').keyframe_points]"
      for name in HOLDING),
    "[setattr(p, 'interpolation', 'BEZIER') for p in curve('Blur').keyframe_points]",
    "curve('Blur').keyframe_points[1].handle_right_type = 'FREE'",
    "curve('Blur').keyframe_points[1].handle_right = (6.0, 600.0)",
]  # fmt: skip


@pytest.mark.parametrize("first", [1, 3], ids=["from the clip's start", "the clip starts later"])
def test_blender_and_mlt_ask_for_the_values_that_merge_takes(
    blender: Blender, mlt: Mlt, recorder: Recorder, tmp_path: Path, first: int
):
    shot = make_shot(tmp_path / "shot", LENGTH)
    keys = shot.folder / "keys.json"
    request = shot.request(
        [{"name": "FG", "keys": KEYS}], json=str(keys), edits=EDITS, start=first, format="PNG"
    )
    exported = blender("keyframes", **request)
    assert exported.answer.get("result") == ["FINISHED"], exported.log
    in_blender, in_mlt = recorder("blender"), recorder("mlt")
    run = blender(
        "render", blend=request["blend"], output=request["output"], engine=str(in_blender.program)
    )
    assert run.exit_code == 0, run.log
    by_mlt(shot, mlt, keys, FACEGRAFT_PYTHON=str(in_mlt.program))
    animation = load_animation(keys)
    frames = range(LENGTH + 1 - first)
    # Blender's curves are float32; MLT's node counts as the files' names do, from 1
    for host, precision, number in ((in_blender, 2e-4, 0), (in_mlt, 1e-9, 1)):
        asked = host.values()
        for frame in frames:
            expected = plain_values(animation.at(frame))
            for name, value in asked[frame + number].items():
                if isinstance(value, float):
                    assert value == pytest.approx(expected[name], abs=precision), (frame, name)
                else:
                    assert value == expected[name], (frame, name)
            assert set(asked[frame + number]) == set(expected)
    taken = [animation.at(frame) for frame in frames]
    assert max(values.blur for values in taken) == 400  # the limit was reached, and held
    assert len({values.mode for values in taken}) == 2
    assert len({values.hist_match_threshold for values in taken}) == len(taken)
