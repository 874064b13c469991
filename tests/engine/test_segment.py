"""Segmentation files: which are known by their shapes, what they are fed, how they are read."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facegraft.errors import NotAModel, ParameterError
from facegraft.model_spec import FaceType
from facegraft.segment import FACE_CLASSES, Segmenter
from tests.engine.tiny_dfm import write_dfm
from tests.engine.tiny_segmenter import write_red_segmenter, write_segmenter

RGB = np.array([0.6, 0.3, 0.15], np.float32)


def _picture(size: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((size, size, 3), np.float32)


def _class_weights(count: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, count)), rng.normal(size=count)


def _softmax_share(fed: np.ndarray, weights, bias, classes) -> np.ndarray:
    odds = np.exp(fed.astype(np.float64) @ weights + bias)
    return odds[..., list(classes)].sum(axis=-1) / odds.sum(axis=-1)


@pytest.mark.parametrize("nchw", [False, True])
@pytest.mark.parametrize("channel_axis", [False, True])
def test_a_mask_network_is_fed_bgr_in_its_own_layout(tmp_path, nchw, channel_axis):
    weights = np.array([[0.1], [0.2], [0.7]])  # of blue, green, red
    path = write_segmenter(
        tmp_path / "x.onnx", weights, np.zeros(1), nchw=nchw, channel_axis=channel_axis
    )
    segmenter = Segmenter.open(path)
    picture = _picture()
    expected = picture @ np.array([0.7, 0.2, 0.1])
    got = segmenter.segment(picture)
    assert got.dtype == np.float32 and got.shape == (32, 32)
    np.testing.assert_allclose(got, np.where(expected < 0.1, 0, expected), atol=1e-5)


def test_faint_answers_of_a_background_are_nothing(tmp_path):
    segmenter = Segmenter.open(write_red_segmenter(tmp_path / "x.onnx"))
    picture = np.zeros((32, 32, 3), np.float32)
    picture[..., 0] = np.linspace(0, 1, 32)
    got = segmenter.segment(picture)[0]
    expected = np.linspace(0, 1, 32)
    np.testing.assert_allclose(got, np.where(expected < 0.1, 0, expected), atol=1e-6)


def test_logits_are_told_from_probabilities_by_a_black_picture(tmp_path):
    weights, bias = np.array([[0], [0], [20.0]]), np.array([-8.0])
    options = [
        Segmenter.open(write_segmenter(tmp_path / f"{s}.onnx", weights, bias, sigmoid=s))
        for s in (False, True)
    ]
    picture = _picture()
    expected = 1 / (1 + np.exp(8 - 20.0 * picture[..., 0]))
    for segmenter in options:
        got = segmenter.segment(picture)
        np.testing.assert_allclose(got, np.where(expected < 0.1, 0, expected), atol=1e-5)


@pytest.mark.parametrize("nchw", [False, True])
def test_a_class_map_is_fed_imagenets_rgb_and_its_face_classes_are_summed(tmp_path, nchw):
    weights, bias = _class_weights(19)
    segmenter = Segmenter.open(write_segmenter(tmp_path / "b.onnx", weights, bias, nchw=nchw))
    picture = _picture()
    fed = (picture - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = _softmax_share(fed, weights, bias, FACE_CLASSES[19])
    np.testing.assert_allclose(
        segmenter.segment(picture), np.where(expected < 0.1, 0, expected), atol=1e-4
    )


def test_which_classes_are_face_can_be_chosen(tmp_path):
    weights, bias = _class_weights(5)
    path = write_segmenter(tmp_path / "b.onnx", weights, bias, nchw=True)
    with pytest.raises(ParameterError, match="knows 5 classes; say which"):
        Segmenter.open(path)
    with pytest.raises(ParameterError, match="no class 5; it knows 5, 0 to 4"):
        Segmenter.open(path, classes=[1, 5])
    segmenter = Segmenter.open(path, classes=[4, 1])
    assert segmenter.classes == (1, 4)
    picture = _picture()
    fed = (picture - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = _softmax_share(fed, weights, bias, (1, 4))
    np.testing.assert_allclose(
        segmenter.segment(picture), np.where(expected < 0.1, 0, expected), atol=1e-4
    )


def test_classes_of_a_mask_network_are_refused(tmp_path):
    with pytest.raises(ParameterError, match="gives one mask"):
        Segmenter.open(write_red_segmenter(tmp_path / "x.onnx"), classes=[1])


@pytest.mark.parametrize("batch", [1, "N"])
def test_a_batch_is_the_single_answers(tmp_path, batch):
    segmenter = Segmenter.open(write_red_segmenter(tmp_path / "x.onnx", batch=batch))
    pictures = np.stack([_picture(seed=seed) for seed in range(3)])
    expected = np.stack([segmenter.segment(picture) for picture in pictures])
    np.testing.assert_array_equal(segmenter.segment_batch(pictures), expected)
    assert segmenter.segment_batch(pictures[:0]).shape == (0, 32, 32)


def test_framing_and_classes_come_from_the_caller_then_the_file_then_the_whole_face(tmp_path):
    plain = write_red_segmenter(tmp_path / "plain.onnx")
    ours = write_red_segmenter(tmp_path / "ours.onnx", said={"face_type": "full"})
    assert Segmenter.open(plain).face_type is FaceType.WHOLE_FACE
    assert Segmenter.open(ours).face_type is FaceType.FULL
    assert Segmenter.open(ours, FaceType.HEAD).face_type is FaceType.HEAD
    weights, bias = _class_weights(5)
    parser = write_segmenter(tmp_path / "p.onnx", weights, bias, said={"classes": [2, 3]})
    assert Segmenter.open(parser).classes == (2, 3)


def test_a_file_that_describes_itself_wrongly_is_taken_as_silent(tmp_path):
    path = write_red_segmenter(tmp_path / "x.onnx", said={"face_type": "elbow"})
    assert Segmenter.open(path).face_type is FaceType.WHOLE_FACE


def test_the_digest_tells_files_framings_and_classes_apart(tmp_path):
    red = write_red_segmenter(tmp_path / "red.onnx")
    weights, bias = _class_weights(5)
    parser = write_segmenter(tmp_path / "p.onnx", weights, bias)
    digests = {
        Segmenter.open(red).digest,
        Segmenter.open(red, FaceType.HALF).digest,
        Segmenter.open(parser, classes=[1]).digest,
        Segmenter.open(parser, classes=[2]).digest,
    }
    assert len(digests) == 4
    assert Segmenter.open(red).digest == Segmenter.open(red, FaceType.WHOLE_FACE).digest


def _write_graph(path, input_shape, output_shape, kind=TensorProto.FLOAT):
    """A file that gives its input, whatever it claims of the output's shape."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["b"])],
        "same",
        [helper.make_tensor_value_info("a", kind, input_shape)],
        [helper.make_tensor_value_info("b", kind, output_shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ([1, 3, 16], "one float32 picture is wanted"),
        ([1, 4, 16, 16], "no axis of it holds 3 colours"),
        ([1, 3, 16, 24], "a square of a fixed size"),
        ([1, 3, "H", "W"], "a square of a fixed size"),
        ([2, 16, 16, 3], "takes 2 pictures at once"),
        ([1, 16, 16, 3], "gives a picture"),
    ],
)
def test_another_kind_of_file_is_refused_with_its_shapes(tmp_path, shape, reason):
    path = _write_graph(tmp_path / "x.onnx", shape, shape)
    with pytest.raises(NotAModel, match=f"no segmenter: .*{reason}.*takes a float32 .*choose"):
        Segmenter.open(path)


def test_a_mask_of_another_size_than_the_picture_is_refused(tmp_path):
    halves = helper.make_graph(
        [
            helper.make_node("AveragePool", ["a"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("ReduceMean", ["half"], ["b"], axes=[1], keepdims=1),
        ],
        "halves",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 1, 8, 8])],
    )
    model = helper.make_model(halves, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(tmp_path / "x.onnx"))
    with pytest.raises(NotAModel, match=r"16, 16\) px with shape \(1, 1, 8, 8\)"):
        Segmenter.open(tmp_path / "x.onnx")


def test_a_whole_swap_model_is_refused(tmp_path):
    """Its first output has the shape of a mask, but it has more to say than one picture."""
    with pytest.raises(NotAModel, match="no segmenter: it gives a picture.*in_face:0"):
        Segmenter.open(write_dfm(tmp_path / "m.dfm"))


def test_a_file_that_is_no_onnx_says_what_to_choose_instead(tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(NotAModel, match="not an ONNX file; choose an XSeg model"):
        Segmenter.open(path)


def test_a_square_of_another_size_is_refused(tmp_path):
    segmenter = Segmenter.open(write_red_segmenter(tmp_path / "x.onnx"))
    with pytest.raises(ParameterError, match=r"\(1, 16, 16, 3\); x.onnx takes \(N, 32, 32, 3\)"):
        segmenter.segment(_picture(16))
