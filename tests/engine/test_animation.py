"""Keyed merge parameters: values between keys, limits, and what is refused by name."""

import ast
import json
import subprocess
import sys

import numpy as np
import pytest

from facegraft.controls import controls_of
from facegraft.errors import FutureVersion, ParameterError
from facegraft.merge.animation import Animation, load_animation
from facegraft.merge.keys import document, sampled
from facegraft.merge.params import MaskMode, MergeMode, MergeParams


def animate(**params) -> Animation:
    return Animation.from_json({"version": 2, "params": params})


def test_constants_hold_on_every_frame_and_the_rest_is_default():
    animation = animate(mix=0.5, mode="seamless")
    for frame in (-3, 0, 17.5, 1e6):
        assert animation.at(frame) == MergeParams(mix=0.5, mode=MergeMode.SEAMLESS)


def test_numbers_run_straight_between_keys_and_stay_outside_them():
    animation = animate(mix={"keys": [[10, 0.0], [20, 1.0]]})
    values = {f: animation.at(f).mix for f in (0, 10, 12.5, 15, 20, 30)}
    assert values == pytest.approx({0: 0, 10: 0, 12.5: 0.25, 15: 0.5, 20: 1, 30: 1})


def test_a_held_key_keeps_its_value_until_the_next():
    animation = animate(erode={"keys": [[0, 10, "hold"], [8, 50], [10, 70]]})
    assert [animation.at(f).erode for f in (0, 7.99, 8, 9)] == [10, 10, 50, 60]


def test_whole_numbers_are_rounded_and_halves_go_up():
    animation = animate(hist_match_threshold={"keys": [[0, 100], [4, 110]]})
    values = [animation.at(f).hist_match_threshold for f in range(5)]
    assert values == [100, 103, 105, 108, 110]
    assert all(isinstance(value, int) for value in values)


def test_choices_and_switches_hold():
    animation = animate(
        mask_mode={"keys": [[0, "full"], [5, "hull"]]},
        hist_match_masked={"keys": [[0, True], [5, False, "hold"]]},
    )
    assert [animation.at(f).mask_mode for f in (0, 4.9, 5)] == [
        MaskMode.FULL,
        MaskMode.FULL,
        MaskMode.HULL,
    ]
    assert [animation.at(f).hist_match_masked for f in (4, 5)] == [True, False]


def test_keys_may_come_in_any_order():
    assert animate(mix={"keys": [[20, 1.0], [10, 0.0]]}).at(15).mix == 0.5


def test_json_and_back_gives_the_same_animation(tmp_path):
    animation = animate(
        mode="hist_match",
        mix={"keys": [[0, 0.25], [9.5, 1, "hold"], [12, 0]]},
        erode={"keys": [[0, 1, "bezier", None, [3, 4]], [9, 2, "linear", [7.5, 8], [12, 1]]]},
        mask_mode={"keys": [[3, "hull"]]},
    )
    path = tmp_path / "params.json"
    path.write_text(json.dumps(animation.to_json()))
    assert load_animation(path) == animation


def test_a_flag_replaces_a_constant_and_a_curve():
    animation = animate(mix={"keys": [[0, 0], [9, 1]]}, erode=5, blur=7)
    changed = animation.with_constants({"mix": 0.9, "erode": 6.0})
    assert changed.at(0) == changed.at(9) == MergeParams(mix=0.9, erode=6, blur=7)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"erod": 5}, "unknown option erod"),
        ({"erod": {"keys": [[0, 1]]}}, "unknown option erod"),
        ({"mix": 1.5}, "mix is 1.5; the limits are 0 to 1"),
        ({"mix": {"keys": [[0, 0], [5, 2]]}}, "mix is 2; the limits are 0 to 1"),
        ({"mix": {"keys": [[0, float("nan")]]}}, "mix is nan; the limits are 0 to 1"),
        ({"mix": {"keys": []}}, "one key or more"),
        ({"mix": {"keyz": [[0, 1]]}}, "one key or more"),
        ({"mix": {"keys": [[0]]}}, r"keys are \[frame, value"),
        ({"mix": {"keys": [[0, 1, "cubic"]]}}, "kind 'cubic'"),
        ({"mix": {"keys": [["a", 1]]}}, "frame 'a'"),
        ({"mix": {"keys": [[0, 1, "bezier", [1]]]}}, r"handle \[1\] at frame 0"),
        ({"mix": {"keys": [[0, 1, "bezier", None, [1, "x"]]]}}, "a handle is"),
        ({"mix": {"keys": [[float("inf"), 1]]}}, "frame inf"),
        ({"mix": {"keys": [[2, 1], [2, 0]]}}, "two keys at frame 2"),
        ({"mode": {"keys": [[0, "overlay", "linear"]]}}, "nothing between"),
        ({"mode": "shiny"}, "it can be original, overlay"),
        ({"face_type": {"keys": [[0, "full"]]}}, "cannot be animated"),
        ({"hist_match_threshold": {"keys": [[0, 1.5]]}}, "takes a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(params, says):
    with pytest.raises(ParameterError, match=says):
        animate(**params)


@pytest.mark.parametrize(
    "values", [[], {"params": {}}, {"version": 0, "params": {}}, {"version": 1}, "x"]
)
def test_a_malformed_file_is_refused(values):
    with pytest.raises(ParameterError):
        Animation.from_json(values)


def test_a_newer_version_asks_for_an_update():
    with pytest.raises(FutureVersion, match="update FaceGraft"):
        Animation.from_json({"version": 3, "params": {}})


def test_rows_of_a_newer_version_are_named_and_not_dropped():
    params = {"mix": 0.5, "relight": 1, "age": {"keys": [[0, 2]]}}
    with pytest.raises(FutureVersion, match="it sets age, relight"):
        Animation.from_json({"version": 3, "params": params})
    with pytest.raises(ParameterError, match="unknown option age, relight: .* newer FaceGraft"):
        animate(**params)


def test_a_file_of_version_1_reads_as_before():
    keys = {"mix": {"keys": [[0, 0.0], [10, 1.0]]}}
    old = Animation.from_json({"version": 1, "params": keys})
    assert old == animate(**keys) and old.at(5).mix == 0.5


def bezier(*points: tuple[float, float]) -> Animation:
    """Two keys, the outer of four points, with the inner ones as their handles."""
    (x0, y0), right, left, (x3, y3) = points
    keys = [[x0, y0, "bezier", None, list(right)], [x3, y3, "linear", list(left), None]]
    return animate(erode={"keys": keys})


def test_a_bezier_segment_is_the_cubic_through_its_four_points():
    """Against de Casteljau's construction: the point at t lies at frame x(t) and has value y(t)."""
    points = np.array([(10, -20), (14, 60), (19, -90), (30, 100)], float)
    animation = bezier(*map(tuple, points))
    for t in np.linspace(0, 1, 21):
        corners = points
        while len(corners) > 1:
            corners = corners[:-1] * (1 - t) + corners[1:] * t
        frame, value = corners[0]
        assert animation.at(frame).erode == pytest.approx(value, abs=1e-6)


def test_handles_on_the_straight_line_give_the_straight_line():
    animation = bezier((0, 0), (4, 40), (8, 80), (12, 120))
    for frame in np.linspace(0, 12, 25):
        assert animation.at(frame).erode == pytest.approx(10 * frame, abs=1e-6)


def test_a_handle_past_the_other_key_is_shortened_with_its_direction_kept():
    """Both handles here have twice the segment's length: they count as half of what they are."""
    long = bezier((0, 0), (20, 60), (-10, 40), (10, 100))
    short = bezier((0, 0), (10, 30), (0, 70), (10, 100))
    frames = np.linspace(0, 10, 41)
    values = [long.at(f).erode for f in frames]
    assert values == pytest.approx([short.at(f).erode for f in frames], abs=1e-9)
    assert all(np.isfinite(values))


def test_keys_without_handles_ease_in_and_out():
    """Flat handles at thirds make time even in t and the value 3 t^2 - 2 t^3."""
    animation = animate(erode={"keys": [[0, 0, "bezier"], [10, 100]]})
    for t in (0, 0.1, 0.25, 0.5, 0.9, 1):
        assert animation.at(10 * t).erode == pytest.approx(100 * (3 * t**2 - 2 * t**3), abs=1e-6)


def test_what_overshoots_between_keys_stops_at_the_limits():
    keys = [[0, 1, "bezier", None, [5, 4]], [10, 1, "hold", [5, 4], None]]
    assert animate(mix={"keys": keys}).at(5).mix == 1.0
    keys = [[0, 0, "bezier", None, [5, -300]], [10, 0, "hold", [5, -300]]]
    animation = animate(hist_match_threshold={"keys": keys})
    assert animation.at(5).hist_match_threshold == 0


def test_a_hold_between_bezier_keys_holds():
    animation = animate(erode={"keys": [[0, 5, "hold"], [4, 9, "bezier"], [8, 5]]})
    assert animation.at(3.99).erode == 5 and animation.at(4).erode == 9


def test_what_a_host_samples_is_held_and_repeats_are_left_out():
    keys = sampled([(0, "full"), (1, "full"), (2, "hull"), (3, "hull"), (4, "full")])
    assert [(key.frame, key.value) for key in keys] == [(0, "full"), (2, "hull"), (4, "full")]
    animation = Animation.from_json(json.loads(json.dumps(document({"mask_mode": keys}))))
    assert [animation.at(f).mask_mode.value for f in range(5)] == [
        "full", "full", "hull", "hull", "full"
    ]  # fmt: skip


def test_a_host_writes_keys_without_any_package():
    code = (
        "import sys, facegraft.merge.keys\n"
        "top = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(top - set(sys.stdlib_module_names) - {'facegraft', '__main__'}))"
    )
    text = subprocess.check_output([sys.executable, "-I", "-c", code], text=True)
    assert [name for name in ast.literal_eval(text) if not name.startswith("_")] == []


def test_errors_of_a_file_name_the_file(tmp_path):
    for text in ("{", '{"version": 1, "params": {"mix": 7}}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ParameterError, match=r"bad\.json"):
            load_animation(tmp_path / "bad.json")
    with pytest.raises(ParameterError, match=r"none\.json"):
        load_animation(tmp_path / "none.json")


def test_every_animatable_row_takes_a_key():
    for row in controls_of(MergeParams):
        if row.control.animatable:
            value = row.default.value if row.choices else row.default
            animation = animate(**{row.name: {"keys": [[0, value]]}})
            assert animation.at(3) == MergeParams()
