"""10-bit and HDR movies: depth, matrix, range and tags, against closed forms."""

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from facegraft.errors import ParameterError
from facegraft.media.color import srgb_encode
from facegraft.media.exr_writer import ExrWriter
from facegraft.media.movie_writer import VideoWriter
from facegraft.media.open import open_source
from facegraft.media.planes import read_pixels
from facegraft.media.source import ColorTags
from facegraft.media.writer import SequenceWriter, write_frame
from tests.engine.exr_files import planes_of

PQ = ColorTags("bt2020", "smpte2084", "bt2020nc", "tv")
HLG = ColorTags("bt2020", "arib-std-b67", "bt2020nc", "tv")


def ramp() -> np.ndarray:
    """(64, 256, 3) uint16: neutral steps over the whole range, four columns each."""
    levels = np.repeat(np.linspace(0, 65535, 64), 4).astype(np.uint16)
    return np.repeat(np.tile(levels, (64, 1))[..., None], 3, axis=2)


def test_p010_as_hardware_decoders_give_it_is_read_by_its_ten_bits():
    """Samples of 10 bit in the upper bits of 16, chroma interleaved, limited range BT.709."""
    frame = av.VideoFrame(32, 16, "p010le")
    luma, cb, cr = 64 + 876 * 0.6, 512 + 896 * 0.1, 512 - 896 * 0.2
    for plane, samples in zip(frame.planes, ([luma], [cb, cr]), strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1)
        rows[:] = np.resize(np.rint(samples).astype(np.uint16) << 6, rows.shape[1])
    frame.colorspace, frame.color_range = 1, 1
    pixels, alpha = read_pixels(frame, VideoReformatter())
    y, u, v = (round(luma) - 64) / 876, (round(cb) - 512) / 896, (round(cr) - 512) / 896
    red, blue = y + 2 * (1 - 0.2126) * v, y + 2 * (1 - 0.0722) * u
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    assert alpha is None and pixels.dtype == np.uint16
    assert np.abs(pixels - np.array([red, green, blue]) * 65535).max() < 12  # a fifth of a level


@pytest.mark.parametrize(
    ("codec", "suffix"), [("prores", ".mov"), ("prores4444", ".mov"), ("h265", ".mp4")]
)
def test_ten_bit_codecs_keep_a_ramp_within_two_10_bit_levels(tmp_path, codec, suffix):
    path = tmp_path / f"a{suffix}"
    crf = 0 if codec == "h265" else None
    with VideoWriter(path, 256, 64, 25, codec=codec, bit_depth=16, crf=crf) as writer:
        writer.write(ramp())
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).format.components[0].bits >= 10
    with open_source(path) as source:
        read = source[0].pixels
        assert source.info.bit_depth == 16
    middle = np.s_[32, 2::4]  # columns in the middle of their step
    error = np.abs(read[middle].astype(float) - ramp()[middle])
    assert np.median(error) <= 2 * 65535 / 1023


@pytest.mark.parametrize("tags", [PQ, HLG], ids=["pq", "hlg"])
@pytest.mark.parametrize(
    ("codec", "suffix"), [("h265", ".mp4"), ("prores", ".mov"), ("prores4444", ".mov")]
)
def test_hdr_tags_are_written_and_choose_the_working_space(tmp_path, tags, codec, suffix):
    path = tmp_path / f"a{suffix}"
    with VideoWriter(path, 256, 64, 25, codec=codec, bit_depth=16, color=tags) as writer:
        writer.write(ramp())
    with open_source(path) as source:
        assert source.info.color == tags
        assert source.info.space.name == ("rec2100_pq" if tags is PQ else "rec2100_hlg")
    with open_source(path, space="display") as source:
        assert source.info.space.is_display and source[0].space.is_display


def test_an_hdr_movie_in_8_bit_is_refused_with_what_to_use(tmp_path):
    with pytest.raises(ParameterError, match=r"h264 stores 8 bit.*use h265, prores"):
        VideoWriter(tmp_path / "a.mp4", 64, 64, 25, codec="h264", bit_depth=16, color=PQ)
    assert list(tmp_path.iterdir()) == []


def test_pq_frames_become_display_for_detectors_and_linear_light_for_exr(tmp_path):
    """Signal 0.5807 is 203 cd/m2, display white; 0.7518 is 1000 cd/m2."""
    path = tmp_path / "a.mkv"
    image = np.zeros((16, 32, 3), np.uint16)
    image[:, :16], image[:, 16:] = round(0.58069 * 65535), round(0.75183 * 65535)
    with VideoWriter(path, 32, 16, 25, codec="ffv1", bit_depth=16, color=PQ) as writer:
        writer.write(image)
    with open_source(path) as source:
        frame = source[0]
        np.testing.assert_array_equal(frame.pixels, image)  # the numbers of the file themselves
        shown = frame.display()
        np.testing.assert_allclose(shown[:, :16], 1, atol=1e-3)
        expected = srgb_encode(np.array([1000 / 203], np.float32))
        np.testing.assert_allclose(shown[:, 16:], expected[0], rtol=2e-3)
        assert (frame.image_u8 == 255).all()
        np.testing.assert_array_equal(frame.from_display(shown), image)
        write_frame(ExrWriter(tmp_path / "exr"), frame, frame.pixels, "f")
        write_frame(SequenceWriter(tmp_path / "png"), frame, frame.pixels, "f")
    light = planes_of(tmp_path / "exr" / "f.exr")["G"]
    np.testing.assert_allclose(light[:, 16:], 1000 / 203, rtol=5e-3)
    with open_source(tmp_path / "png") as images:
        np.testing.assert_array_equal(images[0].pixels, image)
