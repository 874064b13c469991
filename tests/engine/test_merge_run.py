"""Merging whole clips: every frame, its matte, depth, names, resume and untouched pixels."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import Cancelled, ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.inference import Prediction, SwapModel
from facegraft.media.images import read_image_file
from facegraft.media.open import open_source
from facegraft.media.source import Frame
from facegraft.merge.animation import Animation
from facegraft.merge.clip.faces import faces_from_set, find_faces
from facegraft.merge.frame import merge_frame
from facegraft.merge.job import MergeJob
from facegraft.merge.out.outputs import open_outputs
from facegraft.merge.params import MaskMode, MergeMode, MergeParams
from facegraft.merge.run import MergeReport, merge_clip, merge_pixels
from facegraft.progress import Silent
from tests.drawn_faces import DiscDetector, face_at
from tests.engine.merge_clips import (
    FACELESS,
    HEIGHT,
    WIDTH,
    frames_with_faces,
    make_faceset,
    oval_mask,
    write_sequence,
)
from tests.engine.tiny_dfm import write_dfm
from tests.synthetic import make_clip, picture


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SwapModel:
    path = tmp_path_factory.mktemp("model") / "tint.dfm"
    mask = oval_mask()
    return SwapModel.open(write_dfm(path, 64, (0.5, 0.8, 1), (0, 0.2, 0), mask, mask))


def run(
    clip: Path,
    out: Path,
    model: SwapModel,
    matte: Path | None = None,
    animation: Animation | None = None,
    **options,
) -> MergeReport:
    animation = animation or Animation.constant(MergeParams())
    with open_source(clip) as source:
        detector = DiscDetector()
        indices = range(source.info.frame_count)
        job = MergeJob(model, animation, find_faces(source, indices, detector, 0, Silent()))
        codec = options.pop("codec", "h264")
        others = {} if matte is None else {"matte": matte}
        with open_outputs(out, others, source.info, codec=codec) as outputs:
            return merge_clip(source, outputs, job, **options)


def frame_of(pixels):
    return Frame(pixels, 0, Fraction(0), "000000")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_sequence_keeps_names_depth_and_every_untouched_pixel(tmp_path, model, dtype):
    frames = frames_with_faces(dtype=dtype)
    clip = write_sequence(tmp_path / "plates", frames)
    report = run(clip, tmp_path / "out", model, tmp_path / "matte")
    assert (report.frame_count, report.face_count) == (6, 5)
    assert report.frames_without_face == (f"shot.{1001 + FACELESS}",)
    for index, source in enumerate(frames):
        name = f"shot.{1001 + index}.png"
        result, _ = read_image_file(tmp_path / "out" / name)
        matte, _ = read_image_file(tmp_path / "matte" / name)
        matte = matte[..., 0]
        assert result.dtype == matte.dtype == dtype
        np.testing.assert_array_equal(result[matte == 0], source[matte == 0])
        if index == FACELESS:
            assert matte.max() == 0
        else:
            assert matte.max() == np.iinfo(dtype).max
            assert (result != source).any()


def test_the_rectangles_merge_equals_the_whole_frames(model):
    """Converting only the faces' reach gives what merge_frame gives for the whole frame."""
    pixels = picture(WIDTH, HEIGHT)
    for params in (MergeParams(), MergeParams(mode=MergeMode.SEAMLESS, face_scale=30, erode=-60)):
        for faces in ([face_at(70, 60, 40)], [face_at(30, 100, 50), face_at(120, 40, 30)]):
            result, matte = merge_pixels(frame_of(pixels), faces, model, params)
            whole = merge_frame(pixels.astype(np.float32) / 255, faces, model, params)
            assert np.abs(result - whole.result * 255).max() <= 1
            assert np.abs(matte - whole.matte * 255).max() <= 1
            # rounding apart, since OpenCV's warp places the rectangle a hair elsewhere
            assert np.abs(result - whole.result * 255).mean() < 0.26


class CountingModel(SwapModel):
    """Counts the faces that go through the network."""

    count = 0

    def predict_batch(self, aligned: np.ndarray, morph_value: float = 0.75) -> list[Prediction]:
        self.count += len(aligned)
        return super().predict_batch(aligned, morph_value)


@pytest.mark.parametrize("mode", list(MergeMode))
def test_the_network_sees_each_face_once_whatever_the_mode(model, mode):
    counting = CountingModel.open(model.path)
    faces = [face_at(30, 100, 50), face_at(120, 40, 30)]
    merge_pixels(frame_of(picture(WIDTH, HEIGHT)), faces, counting, MergeParams(mode=mode))
    assert counting.count == 2


def test_a_matte_of_0_in_the_files_depth_keeps_the_pixel(model):
    pixels = picture(WIDTH, HEIGHT)
    result, matte = merge_pixels(
        frame_of(pixels), [face_at(70, 60, 40)], model, MergeParams(mix=0.002)
    )
    assert 0 < matte.max() <= 1
    np.testing.assert_array_equal(result[matte == 0], pixels[matte == 0])


def test_mix_0_and_original_give_the_very_pixels(model):
    pixels = picture(WIDTH, HEIGHT)
    faces = [face_at(70, 60, 40)]
    result, matte = merge_pixels(frame_of(pixels), faces, model, MergeParams(mix=0))
    np.testing.assert_array_equal(result, pixels)
    assert matte.max() == 0
    result, matte = merge_pixels(
        frame_of(pixels), faces, model, MergeParams(mode=MergeMode.ORIGINAL)
    )
    np.testing.assert_array_equal(result, pixels)
    assert matte.max() == 255


def test_keys_count_by_the_frames_of_the_source(tmp_path, model):
    frames = frames_with_faces()
    clip = write_sequence(tmp_path / "plates", frames)
    animation = Animation.from_json(
        {"version": 1, "params": {"mix": {"keys": [[1, 0.0], [2, 1.0]]}}}
    )
    run(clip, tmp_path / "out", model, animation=animation, indices=range(1, 3))
    images = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in images] == ["shot.1002.png", "shot.1003.png"]
    np.testing.assert_array_equal(read_image_file(images[0])[0], frames[1])
    assert (read_image_file(images[1])[0] != frames[2]).any()


def test_a_faceset_gives_the_same_merge_as_a_fresh_search(tmp_path, model):
    clip = write_sequence(tmp_path / "plates", frames_with_faces())
    faceset = Faceset.open(make_faceset(clip, tmp_path / "faces"))
    run(clip, tmp_path / "searched", model)
    with open_source(clip) as source:
        faces_for = faces_from_set(faceset, source)
        for frame in source:
            searched, _ = read_image_file(tmp_path / "searched" / f"{frame.name}.png")
            pixels, _ = merge_pixels(frame, faces_for(frame), model, MergeParams())
            # the search follows faces and smooths them; this one moves straight
            assert np.abs(pixels.astype(int) - searched).mean() < 0.3


def test_a_face_deleted_from_the_faceset_is_left_alone(tmp_path):
    clip = write_sequence(tmp_path / "plates", frames_with_faces())
    folder = make_faceset(clip, tmp_path / "faces")
    next(folder.glob("shot.1002_*")).unlink()
    with open_source(clip) as source:
        faces_for = faces_from_set(Faceset.open(folder), source)
        assert [len(faces_for(frame)) for frame in source] == [1, 0, 1, 0, 1, 1]


def test_a_movies_faceset_fits_its_exported_images_and_the_other_way_round(tmp_path):
    frames = frames_with_faces()
    movie = make_clip(tmp_path / "clip.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    images = write_sequence(tmp_path / "plates", frames)
    for made_from, used_on in ((movie, images), (images, movie)):
        folder = make_faceset(made_from, tmp_path / f"faces_{made_from.stem}")
        with open_source(used_on) as source:
            faces_for = faces_from_set(Faceset.open(folder), source)
            for frame in source:
                found = [face.box[0] for face in faces_for(frame)]
                expected = [] if frame.index == FACELESS else [60 + 4 * frame.index - 20]
                assert found == pytest.approx(expected, abs=1)


def test_a_proxy_of_half_size_takes_scaled_landmarks_and_another_shape_is_refused(tmp_path):
    frames = frames_with_faces()
    clip = write_sequence(tmp_path / "plates", frames)
    faceset = Faceset.open(make_faceset(clip, tmp_path / "faces"))
    half = write_sequence(tmp_path / "half", [frame[::2, ::2] for frame in frames])
    with open_source(half) as source:
        face = faces_from_set(faceset, source)(source[0])[0]
        np.testing.assert_allclose(face.landmarks, faceset[0].landmarks / 2, atol=1e-4)
    other = write_sequence(tmp_path / "other", [frame[:60] for frame in frames])
    with open_source(other) as source, pytest.raises(ParameterError, match="160x60.*160x120"):
        faces_from_set(faceset, source)


def test_max_faces_keeps_the_largest(tmp_path):
    image = frames_with_faces(1)[0]
    from tests.drawn_faces import draw_face

    draw_face(image, 130, 80, 22)
    clip = write_sequence(tmp_path / "plates", [image, image])
    with open_source(clip) as source:
        for count, sizes in ((0, [40, 22]), (1, [40])):
            faces = find_faces(source, [0, 1], DiscDetector(), count, Silent())(source[1])
            widths = [face.box[2] - face.box[0] for face in faces]
            assert widths == pytest.approx(sizes, abs=2)


def test_skip_existing_completes_a_sequence(tmp_path, model):
    clip = write_sequence(tmp_path / "plates", frames_with_faces())
    run(clip, tmp_path / "out", model, tmp_path / "matte")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    whole = {p.name: p.read_bytes() for p in before}
    (tmp_path / "out" / "shot.1003.png").unlink()
    (tmp_path / "matte" / "shot.1005.png").unlink()
    report = run(clip, tmp_path / "out", model, tmp_path / "matte", skip_existing=True)
    assert (report.frame_count, report.skipped_frames) == (6, 4)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == whole
    again = {p.name for p in before if p.stat().st_mtime_ns != before[p]}
    assert again == {"shot.1003.png", "shot.1005.png"}


class _StopAfter(Silent):
    """Asks to stop once some frames of the merge are done."""

    def __init__(self, count: int) -> None:
        self.left, self.merging = count, False

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        self.merging = unit == "frames merged"

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= count if self.merging else 0

    @property
    def cancelled(self) -> bool:
        return self.left <= 0


def test_stopping_keeps_finished_images_and_drops_an_unfinished_movie(tmp_path, model):
    clip = write_sequence(tmp_path / "plates", frames_with_faces())
    with pytest.raises(Cancelled, match="2 of 6 frames are merged.*--skip-existing"):
        run(clip, tmp_path / "out", model, progress=_StopAfter(2))
    assert len(list((tmp_path / "out").iterdir())) == 2
    with pytest.raises(Cancelled, match="2 of 6.*not kept"):
        run(clip, tmp_path / "movies" / "out.mkv", model, progress=_StopAfter(2), codec="ffv1")
    assert list((tmp_path / "movies").iterdir()) == []


def test_a_lossless_movie_keeps_every_untouched_pixel_and_has_a_matte_movie(tmp_path, model):
    frames = frames_with_faces()
    clip = make_clip(tmp_path / "clip.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    run(clip, tmp_path / "out.mkv", model, tmp_path / "matte.mkv", codec="lossless")
    with (
        open_source(clip) as source,
        open_source(tmp_path / "out.mkv") as out,
        open_source(tmp_path / "matte.mkv") as mattes,
    ):
        assert out.info.fps == source.info.fps
        assert out.info.frame_count == mattes.info.frame_count == 6
        for plate, result, matte in zip(source, out, mattes, strict=True):
            outside = matte.pixels[..., 0] == 0
            np.testing.assert_array_equal(result.pixels[outside], plate.pixels[outside])
            assert outside.all() == (plate.index == FACELESS)


def test_patterns_name_and_pad_the_frames(tmp_path, model):
    clip = write_sequence(tmp_path / "plates", frames_with_faces(2))
    run(clip, tmp_path / "out" / "ada.######.tif", model, tmp_path / "m_%05d.png")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "ada.001001.tif",
        "ada.001002.tif",
    ]
    assert (tmp_path / "m_01002.png").exists()


def test_the_source_is_never_overwritten(tmp_path, model):
    clip = write_sequence(tmp_path / "plates", frames_with_faces(2))
    movie = make_clip(tmp_path / "clip.mp4", frames_with_faces(2))
    for source, out in (
        (clip, clip),
        (clip / "shot.####.png", clip / "shot.####.png"),
        (clip, tmp_path / "plates" / "new.####.png"),
        (movie, movie),
    ):
        with pytest.raises(ParameterError, match="source"):
            run(source, out, model)
    with pytest.raises(ParameterError, match="one image"):
        run(clip, tmp_path / "one.png", model)


def test_hull_and_full_masks_work_without_the_models_masks(tmp_path):
    """A foreign model may give empty masks."""
    empty = SwapModel.open(write_dfm(tmp_path / "e.dfm", 64, (0, 0, 0), (1, 1, 1), 0.0, 0.0))
    pixels, faces = picture(WIDTH, HEIGHT), [face_at(70, 60, 40)]
    for mode in (m for m in MaskMode if m.value.startswith(("full", "hull", "learned"))):
        _, matte = merge_pixels(frame_of(pixels), faces, empty, MergeParams(mask_mode=mode))
        assert (matte.max() == 255) == (mode in (MaskMode.FULL, MaskMode.HULL))
