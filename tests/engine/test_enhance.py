"""Enhancer opens image-to-image ONNX files of every layout, and says what is wrong with others."""

import logging
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facegraft.enhance import CHANNELS_KEY, RANGE_KEY, ChannelOrder, Enhancer, PixelRange
from facegraft.errors import ModelError, NotAModel, ParameterError
from facegraft.onnx_file import file_digest

GAIN = np.array([0.25, 0.5, 1.0], np.float32)  # per channel, in the file's own order
KINDS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "int64": TensorProto.INT64}


def write(
    path: Path,
    shape=(1, 3, "height", "width"),
    enlarge: float = 1,
    layout: str = "nchw",
    kind: str = "float32",
    gain: np.ndarray = GAIN,
    offset: float = 0.0,
    extra=(),
    metadata: dict[str, str] | None = None,
    out_shape=(None, None, None, None),
    result_px: int = 0,
) -> Path:
    """Each channel times `gain` plus `offset`, every pixel repeated `enlarge` times, or the whole
    made `result_px` large.

    Further inputs of `extra`, (name, type, shape), are multiplied in.
    """
    float_type = KINDS[kind]
    numpy_type = np.float16 if kind == "float16" else np.float32
    channel = 1 if layout == "nchw" else 3
    along = [1, 1, 1, 1]
    along[channel] = 3
    scales = np.full(4, enlarge, np.float32)
    scales[[0, channel]] = 1
    constants = {
        "gain": gain.reshape(along).astype(numpy_type),
        "offset": np.array(offset, numpy_type),
        "roi": np.zeros(0, np.float32),
        "scales": scales,
        "sizes": np.array([1, 3, result_px, result_px]),
    }
    nodes = [
        helper.make_node("Mul", ["picture", "gain"], ["tinted"]),
        helper.make_node("Add", ["tinted", "offset"], ["lifted"]),
    ]
    last = "lifted"
    for name, _, _ in extra:
        nodes.append(helper.make_node("Cast", [name], [f"{name}_f"], to=float_type))
        nodes.append(helper.make_node("Mul", [last, f"{name}_f"], [f"with_{name}"]))
        last = f"with_{name}"
    sizes = ["", "sizes"] if result_px else ["scales"]
    nodes.append(helper.make_node("Resize", [last, "roi", *sizes], ["result"], mode="nearest"))
    graph = helper.make_graph(
        nodes,
        "network",
        [
            helper.make_tensor_value_info("picture", float_type, shape),
            *(helper.make_tensor_value_info(*one) for one in extra),
        ],
        [helper.make_tensor_value_info("result", float_type, out_shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    if metadata:
        helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return path


def face(side: int = 16) -> np.ndarray:
    return np.random.default_rng(side).random((side, side, 3), dtype=np.float32)


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("nchw", (1, 3, "height", "width")),
        ("nchw", ("batch", 3, 16, 16)),
        ("nhwc", (None, None, None, 3)),
        ("nhwc", (1, 16, 16, 3)),
    ],
)
def test_every_layout_and_factor_is_found_in_the_file(layout, shape, factor, tmp_path):
    """Channels first and last, fixed and any size, shapes of the output left open."""
    path = write(tmp_path / "a.onnx", shape, factor, layout)
    enhancer = Enhancer.open(path, pixel_range=PixelRange.UNIT)
    assert factor == enhancer.factor(16)
    assert (None if "width" in shape or None in shape[1:3] else 16) == enhancer.size
    result = enhancer.enhance(face())
    assert result.dtype == np.float32 and result.flags.c_contiguous
    np.testing.assert_allclose(result, enlarged(face() * GAIN, factor), atol=1e-6)


def test_a_file_of_any_size_takes_other_sizes_than_the_one_it_was_probed_with(tmp_path):
    """The face comes as it is, without a resize."""
    enhancer = Enhancer.open(write(tmp_path / "a.onnx", enlarge=2))
    np.testing.assert_allclose(enhancer.enhance(face(23)), enlarged(face(23) * GAIN, 2), atol=1e-6)


def test_a_file_that_states_its_sizes_is_not_run_to_open_it(tmp_path):
    """A restoration network of 512 px takes seconds; this one would fail."""
    path = write(tmp_path / "a.onnx", (1, 3, 8, 8), 2, offset=np.nan, out_shape=(1, 3, 16, 16))
    assert 2 == Enhancer.open(path).factor(8)


def test_a_file_that_enlarges_one_size_otherwise_than_another_is_refused_when_it_does(tmp_path):
    """Here the answer has 128 px whatever comes; the probe of 64 px took it for twofold."""
    enhancer = Enhancer.open(write(tmp_path / "a.onnx", result_px=128))
    assert (128, 128, 3) == enhancer.enhance(face(64)).shape
    with pytest.raises(NotAModel, match=r"for \(16, 16, 3\) it answers with \(128, 128, 3\)"):
        enhancer.enhance(face(16))


@pytest.mark.parametrize(("side", "factor"), [(8, 4), (16, 4), (32, 2), (40, 2), (64, 1), (200, 1)])
def test_a_face_of_another_size_is_resized_and_the_nearest_factor_taken(side, factor, tmp_path):
    """A file that makes 64 px of 32: what it makes keeps as much of its detail as 1, 2, 4 allow."""
    path = write(tmp_path / "a.onnx", (1, 3, 32, 32), 2, gain=np.ones(3, np.float32))
    enhancer = Enhancer.open(path)
    assert factor == enhancer.factor(side)
    ramp = np.linspace(0.1, 0.9, side, dtype=np.float32)
    picture = np.broadcast_to(ramp[None, :, None], (side, side, 3))
    result = enhancer.enhance(picture)
    assert (side * factor, side * factor, 3) == result.shape
    expected = cv2.resize(ramp[None], (side * factor, 1), interpolation=cv2.INTER_LINEAR)
    inner = slice(side * factor // 8, -side * factor // 8)  # borders are extrapolated
    np.testing.assert_allclose(
        result[0, inner, 0], expected[0, inner], atol=0.8 / min(side, 32) + 0.01
    )


@pytest.mark.parametrize(
    ("shape", "enlarge", "expected"),
    [
        ((1, 3, 16, 16), 1, PixelRange.SIGNED),
        ((1, 3, 16, 16), 2, PixelRange.UNIT),
        ((1, 3, "h", "w"), 1, PixelRange.UNIT),
    ],
)
def test_the_range_is_guessed_from_size_and_factor(shape, enlarge, expected, tmp_path):
    """Restoration of a fixed size is -1..1, anything else 0..1, and always RGB."""
    enhancer = Enhancer.open(write(tmp_path / "a.onnx", shape, enlarge))
    assert expected is enhancer.pixel_range
    assert ChannelOrder.RGB is enhancer.channels


def test_signed_numbers_are_converted_both_ways(tmp_path):
    """x is fed as 2x - 1 and read back as (y + 1) / 2, so a gain acts about mid-grey."""
    enhancer = Enhancer.open(write(tmp_path / "a.onnx"), pixel_range=PixelRange.SIGNED)
    np.testing.assert_allclose(enhancer.enhance(face()), (face() - 0.5) * GAIN + 0.5, atol=1e-6)


def test_bgr_files_see_and_give_blue_first(tmp_path):
    """The file's first channel is the picture's last."""
    enhancer = Enhancer.open(write(tmp_path / "a.onnx"), channels=ChannelOrder.BGR)
    np.testing.assert_allclose(enhancer.enhance(face()), face() * GAIN[::-1], atol=1e-6)


def test_metadata_beats_the_guess_and_the_user_beats_metadata(tmp_path):
    """Range and order, each for itself; the digest that keys caches tells them apart."""
    path = write(tmp_path / "a.onnx", metadata={RANGE_KEY: " -1..1", CHANNELS_KEY: "BGR"})
    read = Enhancer.open(path)
    assert (PixelRange.SIGNED, ChannelOrder.BGR) == (read.pixel_range, read.channels)
    told = Enhancer.open(path, pixel_range=PixelRange.UNIT)
    assert (PixelRange.UNIT, ChannelOrder.BGR) == (told.pixel_range, told.channels)
    assert read.digest != told.digest
    assert file_digest(path) in read.digest and file_digest(path) in told.digest


def test_metadata_that_nobody_knows_is_refused(tmp_path):
    """A wrong guess would only show as strange pictures."""
    path = write(tmp_path / "a.onnx", metadata={RANGE_KEY: "0..255"})
    with pytest.raises(NotAModel, match=r"'0\.\.255'; known are 0\.\.1, -1\.\.1"):
        Enhancer.open(path)


def test_half_precision_files_run(tmp_path):
    """Fed and read as float16, given back as float32."""
    enhancer = Enhancer.open(write(tmp_path / "a.onnx", kind="float16"))
    result = enhancer.enhance(face())
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, face() * GAIN, atol=2e-3)


def test_a_further_number_is_held_at_one(tmp_path):
    """As CodeFormer's weight: a scalar of double precision."""
    extra = [("weight", TensorProto.DOUBLE, []), ("noise", TensorProto.FLOAT, [1])]
    enhancer = Enhancer.open(write(tmp_path / "a.onnx", extra=extra))
    np.testing.assert_allclose(enhancer.enhance(face()), face() * GAIN, atol=1e-6)


def test_what_lies_outside_the_unit_range_is_clipped_before_and_after(tmp_path):
    """The network sees what it was trained on, and its overshoot goes no further."""
    path = write(tmp_path / "a.onnx", gain=np.ones(3, np.float32), offset=0.25)
    enhancer = Enhancer.open(path)
    given = np.full((4, 4, 3), -3.0, np.float32)
    np.testing.assert_array_equal(enhancer.enhance(given), np.full((4, 4, 3), 0.25, np.float32))
    given = np.full((4, 4, 3), 7.0, np.float32)
    np.testing.assert_array_equal(enhancer.enhance(given), np.ones((4, 4, 3), np.float32))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (1, 3, 16, 16), "enlarge": 3}, ["of 16x16 px it makes 48x48"]),
        ({"enlarge": 0.5}, ["of 64x64 px it makes 32x32"]),
        ({"shape": (1, 3, 16, 8)}, ["picture is not square", "[1, 3, 16, 8]"]),
        ({"shape": (4, 3, 16, 16)}, ["takes 4 pictures"]),
        ({"identity": (1, 4, 16, 16)}, ["three channels", "[1, 4, 16, 16]"]),
        ({"identity": (3, 16, 16)}, ["three channels", "[3, 16, 16]"]),
        (
            {"extra": [("second", TensorProto.FLOAT, [1, 3, 64, 64])]},
            ["second", "neither a picture nor one number", "[1, 3, 64, 64]"],
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_shapes(options, words, tmp_path):
    """The message names the fault, what the file takes and gives, and what would fit."""
    path = tmp_path / "other.onnx"
    if "identity" in options:
        write_identity(path, options["identity"])
    else:
        write(path, **options)
    with pytest.raises(NotAModel) as caught:
        Enhancer.open(path)
    for word in ["other.onnx", "picture float32 [", "result float32 [", "1, 2 or 4", *words]:
        assert word in str(caught.value)


def write_identity(path: Path, shape) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["picture"], ["result"])],
        "network",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


def test_files_that_are_no_onnx_and_faces_that_are_no_square_are_refused(tmp_path):
    """Each by its own kind of error, and a network's NaN by ModelError."""
    (tmp_path / "text.onnx").write_bytes(b"hello")
    with pytest.raises(NotAModel, match="is not an ONNX file.*choose a network"):
        Enhancer.open(tmp_path / "text.onnx")
    enhancer = Enhancer.open(write(tmp_path / "a.onnx"))
    with pytest.raises(ParameterError, match=r"\(4, 5, 3\); an enhancer takes \(R, R, 3\)"):
        enhancer.enhance(np.zeros((4, 5, 3), np.float32))
    broken = write(tmp_path / "b.onnx", (1, 3, 8, 8), offset=np.nan, out_shape=(1, 3, 8, 8))
    with pytest.raises(ModelError, match="NaN"):
        Enhancer.open(broken).enhance(face(8))


def test_what_was_opened_is_said_once(tmp_path, caplog):
    """File, size, factor, range and order are what a user checks when a face looks wrong."""
    with caplog.at_level(logging.INFO, logger="facegraft"):
        Enhancer.open(write(tmp_path / "a.onnx", enlarge=2))
    said = "Enhancer(a.onnx, any size, 2x, 0..1, rgb) on CPUExecutionProvider"
    assert [said] == [record.getMessage() for record in caplog.records]
