"""Movies to images and back: thinning, resuming, and taking rate and sound from a clip."""

from fractions import Fraction

import numpy as np
import pytest

from facegraft.errors import Cancelled, ParameterError, UnreadableMedia, WriteError
from facegraft.media.convert import assemble_frames, extract_frames, thin
from facegraft.media.images import read_image_file
from facegraft.media.open import open_source
from facegraft.progress import Silent
from tests.engine.exr_files import write_exr
from tests.synthetic import make_clip, numbered_frames, picture, read_number


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "clip.mp4", numbered_frames(30), audio=True)


class _StopAfter(Silent):
    """Asks to stop once `count` steps are done."""

    def __init__(self, count: int) -> None:
        self.left = count

    @property
    def cancelled(self) -> bool:
        return self.left <= 0

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= count


def _files(folder) -> list[str]:
    return sorted(file.name for file in folder.glob("*.*") if file.suffix != ".json")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff"])
def test_every_frame_is_written_under_its_index(tmp_path, clip, suffix):
    with open_source(clip) as source:
        result = extract_frames(source, tmp_path / "out", suffix=suffix)
    assert (result.written, result.kept, result.total) == (30, 0, 30)
    assert _files(tmp_path / "out") == [f"{i:06d}{suffix}" for i in range(30)]
    pixels, _ = read_image_file(tmp_path / "out" / f"000017{suffix}")
    assert read_number(pixels) == 17


def test_png_frames_are_the_decoded_pixels_at_their_depth(tmp_path):
    frames = [picture(phase=phase) for phase in (0.1, 0.6)]
    path = make_clip(tmp_path / "a.mov", frames, codec="prores_ks", pix_fmt="yuv422p10le")
    with open_source(path) as source:
        extract_frames(source, tmp_path / "out")
        for frame in source:
            pixels, _ = read_image_file(tmp_path / "out" / f"{frame.name}.png")
            assert pixels.dtype == np.uint16
            np.testing.assert_array_equal(pixels, frame.pixels)


def test_thinning_keeps_the_first_frame_of_each_interval_by_exact_time(tmp_path, clip):
    with open_source(clip) as source:
        assert thin(source, None) == list(range(30))
        assert thin(source, Fraction(5)) == [0, 5, 10, 15, 20, 25]
        assert thin(source, Fraction(10)) == [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28]
        assert thin(source, Fraction(100)) == list(range(30))
        with pytest.raises(ParameterError, match="above 0"):
            thin(source, Fraction(0))
    times = [Fraction(t, 100) for t in (0, 1, 49, 50, 51, 170, 199, 200)]
    vfr = make_clip(tmp_path / "vfr.mp4", numbered_frames(8), pts=times)
    with open_source(vfr) as source:
        assert thin(source, Fraction(2)) == [0, 3, 5, 7]


def test_an_interrupted_run_goes_on_without_writing_anything_twice(tmp_path, clip):
    out = tmp_path / "out"
    with open_source(clip) as source:
        with pytest.raises(Cancelled, match="7 frames written"):
            extract_frames(source, out, progress=_StopAfter(7))
        assert len(_files(out)) == 7
        (out / "000003.png").unlink()
        before = (out / "000005.png").stat().st_mtime_ns
        result = extract_frames(source, out)
    assert (result.written, result.kept) == (24, 6)
    assert (out / "000005.png").stat().st_mtime_ns == before
    assert len(_files(out)) == 30


def test_images_of_another_clip_or_setting_are_never_mixed_in(tmp_path, clip):
    out = tmp_path / "out"
    other = make_clip(tmp_path / "other.mp4", numbered_frames(12))
    with open_source(clip) as source, open_source(other) as second:
        extract_frames(source, out, fps=Fraction(5))
        with pytest.raises(WriteError, match="holds 6 images of another clip or other settings"):
            extract_frames(source, out)
        with pytest.raises(WriteError, match="another clip"):
            extract_frames(second, out, fps=Fraction(5))
        extract_frames(second, out, overwrite=True)
    assert len(_files(out)) == 12


def test_a_damaged_clip_leaves_the_frames_before_the_damage(tmp_path):
    clip = make_clip(tmp_path / "a.mkv", numbered_frames(30))
    clip.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * 0.6)])
    with open_source(clip) as source, pytest.raises(UnreadableMedia, match="cut short"):
        extract_frames(source, tmp_path / "out")
    names = _files(tmp_path / "out")
    assert names == [f"{i:06d}.png" for i in range(len(names))]
    assert len(names) > 3


def test_frames_and_their_clip_become_a_movie_of_the_same_rate_tags_and_sound(tmp_path):
    rate = Fraction(30000, 1001)
    clip = make_clip(tmp_path / "a.mp4", numbered_frames(20), rate, audio=True)
    with open_source(clip) as model:
        extract_frames(model, tmp_path / "frames")
        frames = open_source(tmp_path / "frames")
        assemble_frames(frames, tmp_path / "out.mkv", like=model, codec="lossless")
        assemble_frames(frames, tmp_path / "mute.mp4", like=model, audio=False)
        with open_source(tmp_path / "out.mkv") as out:
            assert out.info.fps == rate
            assert out.info.has_audio
            for made, original in zip(out, model, strict=True):
                np.testing.assert_array_equal(made.pixels, original.pixels)
    with open_source(tmp_path / "mute.mp4") as mute:
        assert not mute.info.has_audio


def test_a_variable_rate_survives_the_way_through_images(tmp_path):
    times = [Fraction(i * i, 250) for i in range(12)]
    clip = make_clip(tmp_path / "vfr.mp4", numbered_frames(12), pts=times)
    with open_source(clip) as model:
        extract_frames(model, tmp_path / "frames")
        assemble_frames(open_source(tmp_path / "frames"), tmp_path / "out.mp4", like=model)
    with open_source(tmp_path / "out.mp4") as out:
        assert [frame.pts for frame in out] == times


def test_a_clip_of_another_length_is_refused_as_model(tmp_path, clip):
    with open_source(clip) as model:
        extract_frames(model, tmp_path / "frames", fps=Fraction(5))
        with pytest.raises(ParameterError, match="6 frames.*30"):
            assemble_frames(open_source(tmp_path / "frames"), tmp_path / "out.mp4", like=model)


def test_a_cancelled_assembly_leaves_no_movie(tmp_path, clip):
    with open_source(clip) as source, pytest.raises(Cancelled):
        assemble_frames(source, tmp_path / "out.mp4", progress=_StopAfter(5))
    assert _files(tmp_path) == ["clip.mp4"]


def test_a_movie_as_exr_is_linear_light_that_gives_the_movie_back(tmp_path, clip):
    with open_source(clip) as source:
        result = extract_frames(source, tmp_path / "exr", suffix=".exr")
        assert result.written == source.info.frame_count
        again = extract_frames(source, tmp_path / "exr", suffix=".exr")
        assert (again.written, again.kept) == (0, result.written)
        with open_source(tmp_path / "exr") as frames:
            assert frames.info.is_float and frames.info.space.name == "linear_rec709"
            assert [frame.name for frame in frames][:2] == ["000000", "000001"]
            for light, stored in zip(frames, source, strict=True):
                np.testing.assert_array_equal(light.image_u8, stored.pixels)


def test_exr_frames_become_a_movie_with_display_pixels_and_tags(tmp_path):
    """Light above 1 is clipped; ACEScg is taken from the header's primaries."""
    ap1 = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
    light = np.full((16, 32), 0.18, np.float16)
    light[:, 16:] = 5
    for index in range(2):
        planes = {channel: light for channel in "RGB"}
        write_exr(tmp_path / "in" / f"s.{index:04d}.exr", planes, chromaticities=ap1)
    with open_source(tmp_path / "in") as source:
        assert source.info.space.name == "acescg"
        assemble_frames(source, tmp_path / "out.mkv", codec="lossless")
    with open_source(tmp_path / "out.mkv") as movie:
        assert (movie.info.color.transfer, movie.info.color.primaries) == ("iec61966-2-1", "bt709")
        pixels = movie[1].pixels
    grey = round((1.055 * 0.18 ** (1 / 2.4) - 0.055) * 65535)
    assert np.abs(pixels[:, :16].astype(int) - grey).max() < 30  # a half float's step
    assert (pixels[:, 16:] == 65535).all()
