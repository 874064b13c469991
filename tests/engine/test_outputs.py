"""Outputs of whole merges, read back: layers compose to the result, EXR keeps all it held."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from facegraft.errors import ParameterError
from facegraft.faces.align import align_matrix
from facegraft.inference import SwapModel
from facegraft.media.color import srgb_decode
from facegraft.media.images import read_image_file
from facegraft.media.open import open_source
from facegraft.media.source import Frame
from facegraft.media.working_space import DISPLAY, open_space
from facegraft.merge.animation import Animation
from facegraft.merge.clip.faces import ClipFaces, find_faces
from facegraft.merge.job import MergeJob
from facegraft.merge.out.merged import merge_whole
from facegraft.merge.out.output import open_output, provenance
from facegraft.merge.out.outputs import OUTPUTS, open_outputs
from facegraft.merge.params import ColorTransfer, MergeParams
from facegraft.merge.run import MergeReport, merge_clip
from facegraft.model_spec import FaceType
from facegraft.progress import Silent
from facegraft.segment import Segmenter
from tests.drawn_faces import DiscDetector, face_at
from tests.engine.exr_files import bits, planes_of, read_parts, write_exr
from tests.engine.merge_clips import (
    FACELESS,
    HEIGHT,
    WIDTH,
    frames_with_faces,
    oval_mask,
    write_sequence,
)
from tests.engine.tiny_dfm import write_dfm
from tests.engine.tiny_segmenter import write_red_segmenter
from tests.synthetic import make_clip, picture

COUNT = 4  # with FACELESS as the last


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SwapModel:
    path = tmp_path_factory.mktemp("model") / "tint.dfm"
    mask = oval_mask()
    return SwapModel.open(write_dfm(path, 64, (0.5, 0.8, 1), (0, 0.2, 0), mask, mask))


def merge(
    clip: Path, out: Path, model: SwapModel, others: dict[str, Path], space="auto", **options
) -> MergeReport:
    """Merge with colour transfer off, faces found by the drawn discs."""
    params = MergeParams(**options.pop("params", {}))
    with open_source(clip, space=space) as source:
        indices = range(source.info.frame_count)
        faces = find_faces(source, indices, DiscDetector(), 0, Silent())
        job = MergeJob(model, Animation.constant(params), faces)
        settings = {"about": provenance(model), **options.pop("settings", {})}
        with open_outputs(out, others, source.info, **settings) as outputs:
            return merge_clip(source, outputs, job, **options)


def exr_plates(folder: Path) -> list[dict[str, np.ndarray]]:
    """Scene-linear half plates of the drawn faces, with alpha, depth and odd values at an edge."""
    plates = []
    for index, image in enumerate(frames_with_faces(COUNT)):
        light = srgb_decode(image.astype(np.float32) / 255).astype(np.float16)
        planes: dict[str, np.ndarray] = {c: light[..., i].copy() for i, c in enumerate("RGB")}
        planes["R"][0, :4] = [np.nan, np.inf, -3, 900]
        planes["A"] = np.ones((HEIGHT, WIDTH), np.float16)
        planes["depth.Z"] = np.full((HEIGHT, WIDTH), index, np.float32)
        write_exr(folder / f"shot.{1001 + index}.exr", planes, shotName="a shot")
        plates.append(planes)
    return plates


def grey(path: Path) -> np.ndarray:
    return read_image_file(path)[0][..., 0]


def test_exr_plates_come_back_with_changed_pixels_where_the_matte_is(tmp_path, model):
    plates = exr_plates(tmp_path / "plates")
    report = merge(
        tmp_path / "plates",
        tmp_path / "out",
        model,
        {"matte": tmp_path / "matte", "all_layers": tmp_path / "layers"},
    )
    assert (report.frame_count, report.face_count) == (COUNT, COUNT - 1)
    for index, plate in enumerate(plates):
        name = f"shot.{1001 + index}.exr"
        written, matte = planes_of(tmp_path / "out" / name), planes_of(tmp_path / "matte" / name)
        assert set(written) == set(plate) and set(matte) == {"Y"}
        assert (matte["Y"].max() == 0) == (index == FACELESS)
        outside = matte["Y"] == 0
        for channel, plane in plate.items():
            assert written[channel].dtype == plane.dtype
            where = outside if channel in "RGB" else np.ones_like(outside)
            np.testing.assert_array_equal(bits(written[channel])[where], bits(plane)[where])
        assert (index == FACELESS) or (written["R"] != plate["R"])[matte["Y"] > 0.5].any()
        header = read_parts(tmp_path / "out" / name)[0].header
        assert header["shotName"] == "a shot"
        assert "Face replaced with FaceGraft" in header["facegraft"]
        layers = planes_of(tmp_path / "layers" / name)
        np.testing.assert_array_equal(bits(layers["R"]), bits(written["R"]))
        np.testing.assert_array_equal(layers["matte.Y"], matte["Y"])
        np.testing.assert_array_equal(layers["depth.Z"], plate["depth.Z"])
        assert {"face.R", "face.A", "st.s", "st.t", "st.face"} <= set(layers)
        assert "occlusion.Y" not in layers  # no segmenter


@pytest.mark.parametrize("space", ["linear_rec709", "acescg"])
def test_the_face_layer_over_the_plate_is_the_result(tmp_path, model, space):
    exr_plates(tmp_path / "plates")
    merge(tmp_path / "plates", tmp_path / "out", model, {"face_layer": tmp_path / "face"}, space)
    for index in range(COUNT):
        name = f"shot.{1001 + index}.exr"
        plate, result, face = (planes_of(tmp_path / f / name) for f in ("plates", "out", "face"))
        assert set(face) == set("RGBA")
        for channel in "RGB":
            below = np.nan_to_num(plate[channel].astype(np.float32), nan=0, posinf=65504)
            composed = face[channel] + below * (1 - face["A"])
            above = face["A"] > 0
            np.testing.assert_allclose(
                composed[above], result[channel][above], rtol=1e-3, atol=1e-5
            )  # a half float's step
            assert not face[channel][~above].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_face_layer_of_whole_numbers_composes_within_a_step_of_the_file(tmp_path, model, dtype):
    plates = frames_with_faces(COUNT, dtype)
    write_sequence(tmp_path / "plates", plates)
    full = np.iinfo(dtype).max
    others = {"face_layer": tmp_path / "face.####.png", "matte": tmp_path / "m.####.png"}
    merge(tmp_path / "plates", tmp_path / "out", model, others, params={"blur": 80.0})
    for index, plate in enumerate(plates):
        face, alpha = read_image_file(tmp_path / f"face.{1001 + index}.png")
        result, _ = read_image_file(tmp_path / "out" / f"shot.{1001 + index}.png")
        assert alpha is not None and face.dtype == dtype
        np.testing.assert_array_equal(alpha, grey(tmp_path / f"m.{1001 + index}.png"))
        composed = face + plate * (1 - alpha[..., None] / full)
        # a layer below 0, where the face is darker than a linear mix, is clipped by the file
        fits = (face > 0) | (alpha[..., None] == 0)
        assert np.abs(composed - result)[fits].max() <= 1.51


def test_a_face_layer_as_a_movie_keeps_its_alpha(tmp_path, model):
    write_sequence(tmp_path / "plates", frames_with_faces(COUNT))
    others = {"face_layer": tmp_path / "face.mkv", "matte": tmp_path / "m.mkv"}
    merge(tmp_path / "plates", tmp_path / "out.mkv", model, others, settings={"codec": "lossless"})
    with open_source(tmp_path / "face.mkv") as faces, open_source(tmp_path / "m.mkv") as mattes:
        assert faces.info.frame_count == COUNT
        for face, matte in zip(faces, mattes, strict=True):
            np.testing.assert_array_equal(face.alpha, matte.pixels[..., 0])
    with av.open(str(tmp_path / "face.mkv")) as container:
        assert "Face replaced" in container.metadata["COMMENT"]


def test_crops_are_the_networks_squares_in_a_folder_for_each_track(tmp_path, model):
    write_sequence(tmp_path / "plates", frames_with_faces(COUNT, np.uint16))
    merge(tmp_path / "plates", tmp_path / "out", model, {"face_crop": tmp_path / "crops"})
    folders = sorted(path.name for path in (tmp_path / "crops").iterdir())
    assert folders == ["track_0"]
    files = sorted((tmp_path / "crops" / "track_0").iterdir())
    assert [path.name for path in files] == ["shot.1001.png", "shot.1002.png", "shot.1003.png"]
    with open_source(tmp_path / "plates") as source:
        frame = source[0]
        face = find_faces(source, range(COUNT), DiscDetector(), 0, Silent())(frame)[0]
        merged = merge_whole(frame, [face], model, MergeParams())
    square, _ = read_image_file(files[0])
    expected = np.clip(merged.faces[0].prediction.face, 0, 1) * 65535
    assert square.shape == (64, 64, 3)
    assert np.abs(square - expected).max() <= 0.51


def test_records_hold_matrices_landmarks_and_confidence(tmp_path, model):
    write_sequence(tmp_path / "plates", frames_with_faces(COUNT))
    params = {"face_scale": 25.0}
    merge(
        tmp_path / "plates", tmp_path / "out", model, {"records": tmp_path / "r.json"},
        params=params,
    )  # fmt: skip
    values = json.loads((tmp_path / "r.json").read_text())
    assert (values["version"], values["width"], values["height"]) == (1, WIDTH, HEIGHT)
    assert [frame["frame"] for frame in values["frames"]] == [f"shot.{1001 + i}" for i in range(4)]
    empty = values["frames"][FACELESS]
    assert empty["faces"] == [] and empty["confidence"] is None
    frame = values["frames"][1]
    assert frame["confidence"] == 0.9 and frame["seconds"] == "1/25"
    (face,) = frame["faces"]
    landmarks = np.array(face["landmarks"])
    assert landmarks.shape == (68, 2) and face["track"] == 0 and face["held"] is False
    seen = align_matrix(landmarks, FaceType.WHOLE_FACE, 1)
    np.testing.assert_allclose(face["matrix_seen"], seen, atol=1e-4)
    # 25 percent larger: the same frame distance is less of the square
    ratio = np.linalg.det(np.array(face["matrix_seen"])[:, :2]) / np.linalg.det(
        np.array(face["matrix"])[:, :2]
    )
    assert ratio == pytest.approx(1.25**2, rel=1e-6)


def test_records_of_a_farm_are_a_file_a_frame_and_one_file_grows_over_runs(tmp_path, model):
    clip = write_sequence(tmp_path / "plates", frames_with_faces(COUNT))
    others = {"records": tmp_path / "r"}
    merge(clip, tmp_path / "a", model, others, indices=range(1, 3))
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == [
        "shot.1002.json",
        "shot.1003.json",
    ]
    others = {"records": tmp_path / "r.json"}
    merge(clip, tmp_path / "b", model, others, indices=range(2, 4))
    report = merge(clip, tmp_path / "b", model, others, skip_existing=True)
    assert report.skipped_frames == 2
    frames = json.loads((tmp_path / "r.json").read_text())["frames"]
    assert [frame["index"] for frame in frames] == [0, 1, 2, 3]
    with open_source(clip) as source, pytest.raises(ZeroDivisionError):
        others = {"records": tmp_path / "none.json", "matte": tmp_path / "m.mkv"}
        with open_outputs(tmp_path / "o.mkv", others, source.info, codec="lossless"):
            raise ZeroDivisionError  # nothing was merged, so nothing is left
    assert not any((tmp_path / name).exists() for name in ("none.json", "m.mkv", "o.mkv"))
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ParameterError, match=r"x\.json exists and holds no records"):
        merge(clip, tmp_path / "c", model, {"records": tmp_path / "x.json"})


def test_skip_existing_asks_for_every_output(tmp_path, model):
    clip = write_sequence(tmp_path / "plates", frames_with_faces(COUNT))
    others = {"matte": tmp_path / "m", "st_map": tmp_path / "st"}
    merge(clip, tmp_path / "out", model, others)
    assert merge(clip, tmp_path / "out", model, others, skip_existing=True).skipped_frames == COUNT
    (tmp_path / "st" / "shot.1002.exr").unlink()
    report = merge(clip, tmp_path / "out", model, others, skip_existing=True)
    assert report.skipped_frames == COUNT - 1
    assert (tmp_path / "st" / "shot.1002.exr").exists()


def test_the_st_map_and_layers_of_a_movie_are_exr(tmp_path, model):
    clip = make_clip(
        tmp_path / "clip.mkv", frames_with_faces(COUNT), codec="ffv1", pix_fmt="bgr0", matrix="rgb"
    )
    others = {"st_map": tmp_path / "st.####.exr", "all_layers": tmp_path / "all"}
    merge(clip, tmp_path / "out", model, others)
    mapped = planes_of(tmp_path / "st.0000.exr")
    assert set(mapped) == set("RGBA") and mapped["R"].dtype == np.float32
    covered = mapped["A"] > 0
    assert covered.any() and (mapped["B"][covered] == 1).all()
    layers = planes_of(tmp_path / "all" / "000000.exr")
    np.testing.assert_array_equal(layers["st.s"], mapped["R"])
    assert layers["R"].dtype == np.float16  # of 8 bit


def test_the_occlusion_matte_is_what_lies_before_the_face(tmp_path, model):
    """A segmenter that takes red for face: the bar across the skin is what it does not see."""
    segmenter = Segmenter.open(
        write_red_segmenter(tmp_path / "red.onnx", size=192), FaceType.WHOLE_FACE
    )
    frames = frames_with_faces(COUNT)
    for image in frames:
        image[50:60] = (0, 40, 40)
    write_sequence(tmp_path / "plates", frames)
    others = {"occlusion": tmp_path / "o", "all_layers": tmp_path / "all"}
    with open_source(tmp_path / "plates") as source:
        clip = ClipFaces({0: (face_at(60, 55, 40),)})
        job = MergeJob(model, Animation.constant(MergeParams()), clip, segmenter=segmenter)
        with open_outputs(tmp_path / "out", others, source.info, has_segmenter=True) as outputs:
            merge_clip(source, outputs, job)
    hidden = grey(tmp_path / "o" / "shot.1001.png") / 255
    assert hidden[53:57, 52:68].min() > 0.9 and hidden[68:75, 55:65].max() < 0.2
    assert hidden[:, 110:].max() == 0
    assert grey(tmp_path / "o" / "shot.1002.png").max() == 0
    layer = planes_of(tmp_path / "all" / "shot.1001.exr")["occlusion.Y"]
    np.testing.assert_allclose(layer, hidden, atol=0.51 / 255)


def test_what_an_output_cannot_be_is_refused(tmp_path, model):
    clip = write_sequence(tmp_path / "plates", frames_with_faces(1))
    for others, sentence in (
        ({"depth": tmp_path / "d"}, "unknown output 'depth'; known: matte, face_layer"),
        ({"occlusion": tmp_path / "o"}, "give an XSeg model"),
        ({"st_map": tmp_path / "st.mov"}, r"st_map goes into EXR alone.*st\.####\.exr"),
        ({"face_layer": tmp_path / "f.mp4"}, r"\.mp4 holds no alpha; use \.mov"),
        ({"face_crop": tmp_path / "c.mov"}, "crops are images"),
        ({"records": tmp_path / "r.txt"}, "records are JSON"),
        ({"matte": tmp_path / "out"}, "OUT and matte are both"),
        ({"matte": tmp_path / "a", "face_layer": tmp_path / "a"}, "matte and face_layer are both"),
        ({"matte": clip}, "holds the source"),
        ({"matte": tmp_path / "one.png"}, "names one image"),
    ):
        with pytest.raises(ParameterError, match=sentence):
            merge(clip, tmp_path / "out", model, others)
    assert not (tmp_path / "out").exists()
    assert len({kind.name for kind in OUTPUTS}) == len(OUTPUTS) == 7


@pytest.mark.parametrize("suffix", [".png", ".tif", ".exr"])
def test_merged_images_say_how_they_came_to_be(tmp_path, model, suffix):
    clip = write_sequence(tmp_path / "plates", frames_with_faces(1))
    merge(clip, tmp_path / f"out.####{suffix}", model, {})
    path = tmp_path / f"out.1001{suffix}"
    if suffix == ".exr":
        said = read_parts(path)[0].header["facegraft"]
    else:
        said = path.read_bytes().decode("latin-1")
    if suffix == ".tif":
        assert "Face replaced" in Image.open(path).getexif()[270]
    assert f"model {model.digest[:16]}" in said and "iptc.org" in said


def test_float_frames_become_display_pictures_where_the_format_is_whole_numbers(tmp_path, model):
    exr_plates(tmp_path / "plates")
    merge(tmp_path / "plates", tmp_path / "out.####.png", model, {"matte": tmp_path / "m.####.png"})
    image, _ = read_image_file(tmp_path / "out.1001.png")
    assert image.dtype == np.uint16
    plate = frames_with_faces(1)[0]
    outside = grey(tmp_path / "m.1001.png") == 0
    outside[0, :4] = False  # what no display shows
    error = np.abs(image / 257 - plate)[outside]
    assert error.max() < 0.1  # half floats' steps, in 8-bit levels


def test_float_tiffs_stay_floats_to_the_bit_outside_the_matte(tmp_path, model):
    exr_plates(tmp_path / "plates")
    merge(tmp_path / "plates", tmp_path / "t" / "out.####.tif", model, {"matte": tmp_path / "m"})
    again = tmp_path / "again"
    merge(tmp_path / "t", again / "out.####.tif", model, {"matte": tmp_path / "m2"})
    first, _ = read_image_file(tmp_path / "t" / "out.1001.tif")
    second, _ = read_image_file(again / "out.1001.tif")
    assert first.dtype == second.dtype == np.float32
    outside = planes_of(tmp_path / "m2" / "out.1001.exr")["Y"] == 0
    np.testing.assert_array_equal(bits(first)[outside], bits(second)[outside])
    assert np.isnan(second[0, 0, 0]) and second[0, 3, 0] == 900


def test_pixels_without_coverage_in_a_premultiplied_frame_are_left_alone(model):
    light = srgb_decode(picture(WIDTH, HEIGHT).astype(np.float32) / 255)
    alpha = np.ones((HEIGHT, WIDTH), np.float32)
    alpha[:, :80], alpha[:60, 80:] = 0, 0.5
    frame = Frame(
        light * alpha[..., None], 0, Fraction(0), "a", alpha, open_space("linear_rec709"), True
    )
    merged = merge_whole(frame, [face_at(80, 60, 50)], model, MergeParams())
    assert merged.matte[:, :80].max() == 0 and merged.matte[:, 80:].max() == 1
    np.testing.assert_array_equal(merged.pixels[:, :80], frame.pixels[:, :80])
    # the same face in the opaque picture, times the coverage
    plain = MergeParams(color_transfer=ColorTransfer.NONE)
    opaque = Frame(light, 0, Fraction(0), "a", None, frame.space)
    whole = merge_whole(opaque, [face_at(80, 60, 50)], model, plain)
    half = merge_whole(frame, [face_at(80, 60, 50)], model, plain)
    inside = np.s_[40:58, 85:95]
    np.testing.assert_allclose(half.pixels[inside], whole.pixels[inside] / 2, rtol=2e-3, atol=1e-4)


def test_an_output_of_one_frame_knows_its_files_without_decoding(tmp_path):
    write_sequence(tmp_path / "plates", frames_with_faces(1))
    with open_source(tmp_path / "plates") as source:
        output = open_output(tmp_path / "o.%04d.tif", source.info)
        assert output.path_of("shot.0012", 3) == tmp_path / "o.0012.tif"
        assert output.path_of("plain", 3) == tmp_path / "o.0003.tif"


def test_no_face_gives_the_very_pixels_and_empty_layers(model):
    frame = Frame(picture(WIDTH, HEIGHT), 0, Fraction(0), "a")
    merged = merge_whole(frame, ClipFaces({}).at(0), model, MergeParams())
    assert merged.pixels is frame.pixels and merged.matte.max() == 0 and merged.faces == ()
    assert frame.space is DISPLAY
