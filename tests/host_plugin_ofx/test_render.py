"""Pictures of the node, rendered by a host of our own, against the engine in this process."""

import itertools

import numpy as np
import pytest

from facegraft.media.working_space import open_space
from facegraft_cli.ofx_host import FILTER, GENERAL, OK, OfxHost, Picture
from tests.host_plugin_ofx.scene import HEIGHT, LARGEST, WIDTH, Scene, codes, unit
from tests.weights_fixture import needs_weights

# codes: half a code of rounding (of halves, up to 1), and what two orders of float sums differ by
CLOSE = {"u1": 0.51, "u2": 0.9, "f2": 2**-12 + 2e-6, "f4": 2e-6}


@pytest.fixture(scope="module")
def host(library) -> OfxHost:
    return OfxHost(library)


def rendered(host: OfxHost, source: Picture, values: dict, time: float = 0, **options) -> Picture:
    """The node's output over the source's bounds, in the same layout of memory."""
    context = options.pop("context", GENERAL)
    output = options.pop("output", None) or like(source)
    with host.create(context, values) as instance:
        status = instance.render(time, source, output, **options)
        assert status == OK and not instance.effect.messages, instance.effect.messages
    assert host.images_out == 0
    return output


def like(source: Picture, fill: float = 9) -> Picture:
    top_first = source.pixels.strides[0] > 0
    empty = np.full_like(source.pixels, fill)
    return Picture.of(empty, source.origin, top_first=top_first, premultiplied=source.premultiplied)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """`expected`: 0 to 1, of codes of `found`; values above the largest code are clipped."""
    depth = found.dtype.str[1:]
    wanted = expected if depth[0] == "f" else np.clip(expected, 0, 1) * LARGEST[depth]
    assert np.abs(found.astype(np.float64) - wanted).max() <= CLOSE[depth]


@pytest.mark.parametrize(
    ("dtype", "channels", "top_first"),
    list(itertools.product(("u1", "u2", "f2", "f4"), (3, 4), (False, True))),
)
def test_every_depth_and_layout_gives_the_engine_s_own_pixels(
    host, scene: Scene, dtype, channels, top_first
):
    """Within rounding; bit-identical where the matte is 0; alpha stays as it was."""
    pixels = codes(dtype, channels)
    source = Picture.of(pixels, (-7, 13), top_first=top_first, padding=5)
    out = rendered(host, source, scene.values(blur=30.0, color_transfer="lct")).pixels
    result, matte = scene.merged(unit(pixels)[..., :3], blur=30.0, color_transfer="lct")
    assert_close(out[..., :3], result)
    assert matte.max() > 0.5 and np.array_equal(out[matte == 0], pixels[matte == 0])
    assert np.array_equal(out[..., 3:], pixels[..., 3:])


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_a_window_is_written_and_nothing_else(host, scene: Scene, dtype):
    """The same pixels as of the whole frame, whatever the window is."""
    source = Picture.of(codes(dtype), (5, -20), top_first=True)
    whole = rendered(host, source, scene.values()).pixels
    for left, low, right, high in ((30, 20, 71, 66), (0, 0, 1, 1), (41, 30, 42, HEIGHT)):
        window = (left + 5, low - 20, right + 5, high - 20)
        out = rendered(host, source, scene.values(), window=window).pixels
        inside = np.s_[HEIGHT - high : HEIGHT - low, left:right]
        assert np.array_equal(out[inside], whole[inside])
        out[inside] = 9
        assert (out == 9).all()


def test_an_output_larger_than_the_source_is_0_beyond_it(host, scene: Scene):
    source = Picture.of(codes("u1"), (10, 20))
    output = Picture.of(np.full((HEIGHT + 12, WIDTH + 8, 4), 9, np.uint8), (4, 16))
    whole = rendered(host, source, scene.values()).pixels
    out = rendered(host, source, scene.values(), output=output).pixels
    inside = np.s_[8 : 8 + HEIGHT, 6 : 6 + WIDTH]
    assert np.array_equal(out[inside], whole)
    out[inside] = 0
    assert not out.any()


def test_premultiplied_pictures_are_swapped_as_if_they_were_straight(host, scene: Scene):
    pixels = codes("f4")
    pixels[..., :3] *= pixels[..., 3:]
    source = Picture.of(pixels, premultiplied=True)
    out = rendered(host, source, scene.values(color_transfer="none")).pixels
    straight = codes("f4")[..., :3]
    result, _ = scene.merged(straight, color_transfer="none")
    assert np.abs(out[..., :3] - result * pixels[..., 3:]).max() < 1e-5
    assert np.array_equal(out[..., 3], pixels[..., 3])


def test_float_of_a_linear_host_is_scene_linear_and_integers_are_display(
    fresh_library, scene: Scene
):
    """Nuke and Natron work in linear float; an explicit choice wins."""
    space = open_space("linear_rec709")
    host = OfxHost(fresh_library, name="uk.co.thefoundry.nuke")
    pixels = codes("f4")
    result, _ = scene.merged(space.to_display(np.ascontiguousarray(pixels[..., :3])))
    linear = space.from_display(result)
    auto = rendered(host, Picture.of(pixels), scene.values()).pixels[..., :3]
    assert np.abs(auto - linear).max() < 1e-5
    shown = scene.merged(pixels[..., :3])[0]
    chosen = rendered(host, Picture.of(pixels), scene.values(input_color="display")).pixels
    assert np.abs(chosen[..., :3] - shown).max() < 1e-5
    assert np.abs(auto - shown).max() > 0.01
    half = codes("f2")
    out = rendered(host, Picture.of(half), scene.values()).pixels[..., :3]
    shown = scene.merged(space.to_display(np.ascontiguousarray(unit(half)[..., :3])))[0]
    assert_close(out, space.from_display(shown))
    integers = codes("u2")
    out = rendered(host, Picture.of(integers), scene.values()).pixels
    assert_close(out[..., :3], scene.merged(unit(integers)[..., :3])[0])


def test_parameters_follow_the_host_s_keyframes(host, scene: Scene):
    """Evaluated at the frame's time, with the faces of that frame."""
    values = scene.values(
        mix=lambda time: time / 4, mode=lambda time: "seamless" if time > 2 else "overlay"
    )
    for time in (1, 4):
        pixels = codes("f4", frame=time)
        out = rendered(host, Picture.of(pixels), values, time).pixels
        mode = "seamless" if time > 2 else "overlay"
        result, _ = scene.merged(pixels[..., :3], time, mix=time / 4, mode=mode)
        assert_close(out[..., :3], result)


def test_without_mix_or_model_or_in_mode_original_the_node_is_its_source(host, scene: Scene):
    """It says so, and renders so for hosts that do not ask."""
    pixels = codes("u2")
    for values in (scene.values(mix=0.0), scene.values(mode="original"), {"mix": 1.0}):
        with host.create(GENERAL, values) as instance:
            assert instance.identity(3.0) == "Source"
        assert np.array_equal(rendered(host, Picture.of(pixels), values).pixels, pixels)
    with host.create(GENERAL, scene.values(mix=0.5)) as instance:
        assert instance.identity(0.0) == ""
    with host.create(GENERAL, scene.values(mode="original", output="matte")) as instance:
        assert instance.identity(0.0) == ""


def test_values_outside_their_range_are_taken_for_the_nearest_limit(host, scene: Scene):
    """Some hosts hand over any number that was typed in; what is no number is the default."""
    pixels = codes("u1")
    fine = rendered(host, Picture.of(pixels), scene.values(mix=1.0, erode=400.0)).pixels
    wild = scene.values(mix=7.5, erode=1e9, blur=float("nan"))
    assert np.array_equal(rendered(host, Picture.of(pixels), wild).pixels, fine)


def test_a_frame_without_faces_passes_and_so_does_one_of_a_single_pixel(host, scene: Scene):
    pixels = codes("u1")
    out = rendered(host, Picture.of(pixels), scene.values(), time=1000.0).pixels
    assert np.array_equal(out, pixels)
    dot = np.full((1, 1, 4), 100, np.uint8)
    values = scene.values(frame_name="nobody")
    assert np.array_equal(rendered(host, Picture.of(dot), values).pixels, dot)


@needs_weights
@pytest.mark.parametrize("dtype", ["u1", "u2", "f2", "f4"])
def test_a_frame_that_is_searched_in_vain_passes_even_where_it_is_one_pixel(
    host, scene: Scene, dtype
):
    """Without a faceset the detector looks; 1 x 1, 1 x N, N x 1, and a plain wall."""
    for shape in ((1, 1), (1, 90), (90, 1), (HEIGHT, WIDTH)):
        wall = np.full((*shape, 4), 0.4 * LARGEST[dtype]).astype(dtype)
        out = rendered(host, Picture.of(wall), {"model": str(scene.model)}).pixels
        assert np.array_equal(out, wall)


@pytest.mark.parametrize(
    ("choice", "number", "taken"),
    [("all", 1, (0, 1)), ("largest", 1, (0,)), ("left", 2, (1,)), ("track", 2, (1,))],
)
def test_faces_are_chosen_as_on_the_command_line(host, scene: Scene, choice, number, taken):
    pixels = codes("u1")
    values = scene.values(face_choice=choice, face_number=number)
    out = rendered(host, Picture.of(pixels), values).pixels
    faces = [face for i, face in enumerate(scene.faces(0)) if i in taken]
    assert_close(out[..., :3], scene.merged(unit(pixels)[..., :3], faces=faces)[0])


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_point_picks_the_face_nearest_to_it_at_every_scale(host, scene: Scene, scale):
    """Canonical pixels, from the lower left corner of the host's picture."""
    step = round(1 / scale)
    pixels = np.ascontiguousarray(codes("u1")[::step, ::step])
    height = pixels.shape[0]
    for x, y, is_first in ((40, HEIGHT - 50, True), (96, HEIGHT - 30, False)):
        values = scene.values(face_choice="near", face_point=(float(x), float(y)), output="matte")
        out = rendered(host, Picture.of(pixels), values, scale=scale).pixels
        columns = np.flatnonzero(out[..., 0].max(axis=0))
        assert out.shape[0] == height and (columns.mean() < WIDTH * scale / 2) == is_first


def test_faceset_names_take_the_frame_number_where_their_signs_are(host, scene: Scene):
    """With an offset between the host's time and the faceset's frames."""
    pixels = codes("u1", frame=3)
    plain = rendered(host, Picture.of(pixels), scene.values(), time=3.0).pixels
    moved = scene.values(frame_name="0###00", frame_offset=-100)  # 103 is 3: 0003 and two zeros
    assert np.array_equal(rendered(host, Picture.of(pixels), moved, time=103.0).pixels, pixels)
    moved = scene.values(frame_name="00####", frame_offset=-100)
    assert np.array_equal(rendered(host, Picture.of(pixels), moved, time=103.0).pixels, plain)
    assert not np.array_equal(plain, pixels)


def test_the_other_outputs_show_matte_face_and_source_with_matte(host, scene: Scene):
    pixels = codes("f4")
    result, matte = scene.merged(pixels[..., :3], color_transfer="none")
    values = scene.values(color_transfer="none")

    def shown(output: str) -> np.ndarray:
        return rendered(host, Picture.of(pixels), {**values, "output": output}).pixels

    grey = shown("matte")
    assert np.abs(grey[..., :3] - matte[..., None]).max() < 1e-6 and (grey[..., 3] == 1).all()
    alpha = shown("source_with_matte")
    assert np.array_equal(alpha[..., :3], pixels[..., :3])
    assert np.abs(alpha[..., 3] - matte).max() < 1e-6
    face = shown("face")  # straight, as this host's output is
    over = face[..., :3] * face[..., 3:] + pixels[..., :3] * (1 - face[..., 3:])
    assert np.abs(over - result).max() < 1e-5 and np.abs(face[..., 3] - matte).max() < 1e-6
    nothing = rendered(host, Picture.of(pixels), {**values, "output": "face", "mix": 0.0}).pixels
    assert not nothing.any()


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_a_mask_limits_the_swap_or_keeps_it_out(host, scene: Scene, dtype):
    """Of any bounds: where it has no pixels it is 0."""
    pixels = codes("f4")
    plain, _ = scene.merged(pixels[..., :3])
    swap = plain - pixels[..., :3]
    ramp = np.zeros((HEIGHT, WIDTH), np.float32)
    ramp[20:, :60] = np.linspace(0, 1, 60, dtype=np.float32)
    wide = np.round(ramp * LARGEST[dtype]).astype(dtype)
    mask = Picture.of(wide[20:, :60, None])
    for use, share in (
        ("limit", unit(wide)),
        ("keep_out", 1 - unit(wide)),
        ("off", np.ones_like(ramp)),
    ):
        values = scene.values(mask_use=use)
        out = rendered(host, Picture.of(pixels), values, mask=mask).pixels[..., :3]
        expected = pixels[..., :3] + swap * share[..., None]
        assert np.abs(out - expected).max() < 1e-5
    out = rendered(host, Picture.of(pixels), scene.values(), context=FILTER, mask=mask).pixels
    assert np.abs(out[..., :3] - plain).max() < 1e-5  # a filter has no such input


def test_in_mask_mode_host_the_mask_is_the_face_s_own(host, scene: Scene):
    """As the engine takes a matte; the node does not limit by it once more."""
    pixels = codes("f4")
    matte = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    matte[30:60, 30:50] = 0.5
    values = scene.values(mask_mode="host", output="matte")
    out = rendered(host, Picture.of(pixels), values, mask=Picture.of(matte)).pixels[..., 0]
    assert 0.4 < out.max() <= 0.51 and out[46, 40] > 0.4
    assert not out[:25].any() and not out[65:].any()


def test_the_node_asks_for_the_whole_source(host, scene: Scene):
    with host.create(FILTER, scene.values()) as instance:
        assert instance.needed(Picture.of(codes("u1"), (-7, 13))) == [-7, 13, 113, 103]


def test_the_same_frame_again_gives_the_same_picture_after_another_one(host, scene: Scene):
    """What the engine is told to know already is really there."""
    first, second = codes("u2"), codes("u2", frame=4)
    one = rendered(host, Picture.of(first), scene.values()).pixels
    again = rendered(host, Picture.of(first), scene.values(erode=20.0)).pixels
    rendered(host, Picture.of(second), scene.values())
    assert np.array_equal(rendered(host, Picture.of(first), scene.values()).pixels, one)
    expected = scene.merged(unit(first)[..., :3], erode=20.0)[0]
    assert_close(again[..., :3], expected)
