"""Live FaceGraft nodes in the compositor modifier of a strip (Blender 5.0 and later).

Strips are 8 bits deep and quantise before and after, so a level more than elsewhere is allowed.
"""

import numpy as np
import pytest

from facegraft.media.color import srgb_encode
from tests.host_plugin.conftest import Blender
from tests.host_plugin.shots import FRAMES, HEIGHT, WIDTH, Shot
from tests.host_plugin.test_blender_node import HARD, HARD_SOCKETS, linear_source, read_png

pytestmark = [pytest.mark.blender, pytest.mark.slow]

KEYS = {"Mix": [[1, 0.0], [FRAMES, 1.0]]}
MOVED = (11, -7)  # px to the right and up, in a frame that is larger by MARGIN on every side
MARGIN = 20


def live(shot: Shot, *nodes: dict, **values) -> dict:
    """A request whose tree becomes the group of a strip's modifier."""
    return shot.request(list(nodes), node=nodes[0]["name"], live=True, format="PNG", **values)


def keyed(shot: Shot, index: int, image: np.ndarray | None = None) -> np.ndarray:
    params = {**HARD, "mix": index / (FRAMES - 1)}
    return np.clip(shot.expected(index, params, image=image).result, 0, 1) * 255


def test_a_strip_shows_the_face_with_each_frames_own_value(blender: Blender, shot: Shot):
    run = blender(
        "strip_modifier", **live(shot, {"name": "FG", "params": HARD_SOCKETS, "keys": KEYS})
    )
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        assert np.abs(read_png(shot, index) - keyed(shot, index)).max() <= 1.5, index
    assert np.abs(read_png(shot, 3).astype(int) - shot.frames[3]).max() > 20
    assert run.answer["scenes"] == ["Scene", "Edit"] or run.answer["scenes"] == ["Edit", "Scene"]
    assert run.answer["scratch"] == [] and run.answer["strips"] == 1
    assert [count for _, count in run.answer["curves"]] == [2]


def test_what_stands_before_the_node_in_the_group_is_what_it_swaps(blender: Blender, shot: Shot):
    request = live(shot, {"name": "FG", "params": HARD_SOCKETS, "keys": KEYS})
    edits = [
        "grade = group.nodes.new('CompositorNodeExposure')",
        "grade.inputs['Exposure'].default_value = 0.5",
        "entry = next(n for n in group.nodes if n.bl_idname == 'NodeGroupInput')",
        "group.links.new(entry.outputs[0], grade.inputs[0])",
        "group.links.new(grade.outputs[0], group.nodes['FG'].inputs[0])",
    ]
    run = blender("strip_modifier", **request, edits=["\n".join(edits)])
    assert run.exit_code == 0, run.log
    for index in range(FRAMES):
        graded = srgb_encode(linear_source(shot, index) * np.float32(2**0.5))
        expected = keyed(shot, index, image=graded)
        assert np.abs(read_png(shot, index) - expected).max() <= 2, index


@pytest.mark.parametrize("flip", [False, True], ids=["as it is", "flipped"])
def test_the_face_stays_on_a_strip_that_is_moved_and_flipped(
    blender: Blender, shot: Shot, flip: bool
):
    """The model sees the strip's own picture, wherever that is put."""
    strip = {
        "transform.offset_x": MOVED[0],
        "transform.offset_y": MOVED[1],
        "use_flip_x": flip,
    }
    size = [WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN]
    node = {"name": "FG", "params": HARD_SOCKETS, "keys": KEYS}
    run = blender("strip_modifier", **live(shot, node, strip=strip, size=size))
    assert run.exit_code == 0, run.log
    # Blender flips the frame that the moved strip lies in
    top, left = MARGIN - MOVED[1], MARGIN + (-MOVED[0] if flip else MOVED[0])
    for index in range(FRAMES):
        shown = read_png(shot, index)[top : top + HEIGHT, left : left + WIDTH]
        expected = keyed(shot, index)[:, ::-1] if flip else keyed(shot, index)
        assert np.abs(shown - expected).max() <= 2, index


def test_two_strips_with_one_group_that_show_at_once_keep_their_faces(blender: Blender, shot: Shot):
    """The second lies over the right half of the first and shows another frame of the clip."""
    edit = (
        "other = edit.sequence_editor.strips.new_image('late', strip.directory + '/' + "
        "strip.elements[2].filename, channel=2, frame_start=1); "
        "other.frame_final_duration = 2; "
        "other.modifiers.new('face', 'COMPOSITOR').node_group = group; "
        "other.crop.min_x = 80; other.blend_type = 'ALPHA_OVER'"
    )
    node = {"name": "FG", "params": HARD_SOCKETS}
    run = blender("strip_modifier", **live(shot, node, edits=[edit]))
    assert run.exit_code == 0, run.log
    other = shot.frames[2] / np.float32(255)
    own, late = (shot.expected(1, HARD, image=image).result for image in (None, other))
    expected = np.clip(np.concatenate([own[:, :80], late[:, 80:]], axis=1), 0, 1) * 255
    assert np.abs(read_png(shot, 1) - expected).max() <= 1.5
    assert np.abs(own - late)[:, :80].max() > 0.1


def test_an_error_passes_the_strip_through_and_by_option_ends_the_render(
    blender: Blender, shot: Shot
):
    node = {"name": "FG", "model": "/nowhere/gone.dfm"}
    run = blender("strip_modifier", **live(shot, node))
    assert run.exit_code == 0 and "FaceGraft: frame 1: FG: " in run.log
    for index in range(FRAMES):
        assert np.abs(read_png(shot, index).astype(int) - shot.frames[index]).max() <= 1, index
    run = blender("strip_modifier", **live(shot, {**node, "on_error": "FAIL"}))
    assert run.exit_code == 3


def test_the_interface_refreshes_a_strip_once_per_change(blender: Blender, shot: Shot):
    node = {"name": "FG", "params": HARD_SOCKETS}
    run = blender("strip_modifier", **live(shot, node, preview=True))
    assert run.exit_code == 0, run.log
    before, after, next_frame, moved = run.answer["signatures"]
    assert run.answer["covered"] == 1.0 and run.answer["scratch"] == []
    assert before == after and len({after, next_frame, moved}) == 3
    assert run.answer["pressed"] == ["FINISHED"] and run.answer["choice"] == "track:4"


@pytest.mark.parametrize(("on_error", "code"), [("PASS", 0), ("FAIL", 3)])
def test_a_nodes_own_group_as_the_modifiers_is_named_since_it_has_no_values_there(
    blender: Blender, shot: Shot, on_error: str, code: int
):
    node = {"name": "FG", "params": HARD_SOCKETS, "on_error": on_error}
    request = shot.request([node], node="FG", format="PNG")
    assert blender("shoot", **{**request, "edges": [1, 1]}).exit_code == 0
    run = blender("strip_modifier", **request)
    assert run.exit_code == code
    assert "the modifier of the strip 'clip' uses a FaceGraft node's own group" in run.log
    assert "or bake" in run.log
    if code == 0:
        shown = read_png(shot, 1).astype(int)
        assert np.abs(shown - shot.frames[1]).max() <= 1
