"""Image files and sequences: depth, alpha, order, damage and atomic writing."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft.errors import ParameterError, SourceNotFound, UnreadableMedia, WriteError
from facegraft.media.images import encode_image, read_image_file, to_depth, write_image
from facegraft.media.open import open_source
from facegraft.media.writer import SequenceWriter
from tests.synthetic import picture

RANDOM = np.random.default_rng(1)


def _noise(dtype: type, channels: int = 3) -> np.ndarray:
    shape = (20, 31, channels) if channels > 1 else (20, 31)
    return RANDOM.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_png_and_tiff_give_back_every_bit(tmp_path, suffix, dtype, with_alpha):
    pixels, alpha = _noise(dtype), _noise(dtype, 1) if with_alpha else None
    path = tmp_path / f"größe 1{suffix}"
    write_image(path, pixels, alpha)
    read, read_alpha = read_image_file(path)
    np.testing.assert_array_equal(read, pixels)
    assert read.dtype == dtype
    if alpha is None:
        assert read_alpha is None
    else:
        np.testing.assert_array_equal(read_alpha, alpha)


def test_files_written_by_opencv_read_as_rgb(tmp_path):
    pixels = _noise(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    np.testing.assert_array_equal(read_image_file(tmp_path / "a.png")[0], pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_is_expanded_to_rgb(tmp_path, dtype):
    grey = _noise(dtype, 1)
    write_image(tmp_path / "grey.png", grey)
    stored = cv2.imread(str(tmp_path / "grey.png"), cv2.IMREAD_UNCHANGED)
    assert stored is not None and stored.ndim == 2
    pixels, alpha = read_image_file(tmp_path / "grey.png")
    np.testing.assert_array_equal(pixels, np.stack([grey] * 3, axis=-1))
    assert alpha is None


def test_jpeg_of_quality_95_stays_within_a_few_levels(tmp_path):
    pixels = picture()
    write_image(tmp_path / "a.jpg", pixels)
    error = np.abs(read_image_file(tmp_path / "a.jpg")[0].astype(int) - pixels)
    assert error.mean() < 1.0


def test_exif_orientation_of_a_jpeg_is_applied(tmp_path):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255  # left half white
    data = encode_image(".jpg", pixels)
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff  # orientation 6: turn clockwise to show
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    turned = read_image_file(tmp_path / "a.jpg")[0]
    assert turned.shape == (32, 16, 3)
    assert turned[4].mean() > 200 > 50 > turned[-4].mean()  # left went to the top


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.98])
def test_a_truncated_image_is_named_and_not_half_read(tmp_path, suffix, share):
    data = encode_image(suffix, _noise(np.uint8))
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UnreadableMedia, match=f"cut{suffix}"):
        read_image_file(path)


def test_a_png_with_one_wrong_byte_is_named(tmp_path):
    data = bytearray(encode_image(".png", _noise(np.uint8)))
    data[len(data) // 2] ^= 0x10
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(UnreadableMedia, match=r"bad\.png.*checksum"):
        read_image_file(tmp_path / "bad.png")


def test_a_file_that_is_no_image_and_one_of_double_floats_are_refused(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(UnreadableMedia, match=r"a\.png"):
        read_image_file(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "f.tiff"), np.zeros((4, 4, 3), np.float64))
    with pytest.raises(UnreadableMedia, match="float64"):
        read_image_file(tmp_path / "f.tiff")


@pytest.mark.parametrize("bits", [8, 16])
def test_float_levels_come_back_as_the_integers_they_stand_for(bits):
    levels = np.arange(2**bits, dtype=np.float64)
    back = to_depth((levels / (2**bits - 1)).astype(np.float32)[None], bits)
    np.testing.assert_array_equal(back[0], levels)


def test_depth_changes_round_and_clip_and_keep_full_scale():
    eight = np.arange(256, dtype=np.uint8)[None]
    sixteen = to_depth(eight, 16)
    np.testing.assert_array_equal(sixteen, eight.astype(np.uint16) * 257)
    np.testing.assert_array_equal(to_depth(sixteen, 8), eight)
    wild = np.array([[-0.5, 1.5]], np.float32)
    np.testing.assert_array_equal(to_depth(wild, 8), [[0, 255]])
    with pytest.raises(ParameterError, match="int32"):
        to_depth(np.zeros((2, 2), np.int32), 8)


def test_depth_and_alpha_that_a_format_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ParameterError, match="8 bit"):
        write_image(tmp_path / "a.jpg", _noise(np.uint16))
    with pytest.raises(ParameterError, match="alpha"):
        write_image(tmp_path / "a.jpg", _noise(np.uint8), _noise(np.uint8, 1))
    with pytest.raises(ParameterError, match=r"\.gif"):
        write_image(tmp_path / "a.gif", _noise(np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, _noise(np.uint8))
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError, match=r"a\.png: No space left on device") as caught:
        write_image(path, _noise(np.uint8))
    assert caught.value.errno == 28
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def _write_numbered(folder: Path, names: list[str]) -> None:
    for value, name in enumerate(names):
        write_image(folder / name, np.full((8, 8, 3), value, np.uint8))


def test_a_folder_is_read_in_numerical_order_and_keeps_its_numbers(tmp_path):
    _write_numbered(tmp_path, ["f9.png", "f10.png", "f100.png", "f101.png"])
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".f1.png").write_text("hidden")
    with open_source(tmp_path) as source:
        assert [frame.name for frame in source] == ["f9", "f10", "f100", "f101"]
        assert [int(frame.pixels.max()) for frame in source] == [0, 1, 2, 3]
        assert source.info.frame_count == 4
        assert source.info.fps == 25
        assert not source.info.is_movie


@pytest.mark.parametrize("pattern", ["s.####.png", "s.%04d.png", "s.0002.png"])
def test_patterns_and_a_file_of_a_sequence_name_the_whole_sequence(tmp_path, pattern):
    names = ["s.0001.png", "s.0002.png", "s.0010.png"]
    _write_numbered(tmp_path, [*names, "other.0001.png", "s.png"])
    source = open_source(tmp_path / pattern, fps=Fraction(24000, 1001))
    assert [f"{frame.name}.png" for frame in source] == names
    assert source[2].pts == Fraction(2 * 1001, 24000)
    assert source.at_time(Fraction(2 * 1001, 24000)).index == 2
    assert source.at_time(Fraction(2 * 1001 - 1, 24000)).index == 1
    assert source.at_time(Fraction(99)).index == 2


def test_a_single_image_is_a_source_of_one_frame(tmp_path):
    write_image(tmp_path / "portrait.png", picture())
    source = open_source(tmp_path / "portrait.png")
    assert [frame.name for frame in source] == ["portrait"]
    assert (source.info.width, source.info.height, source.info.bit_depth) == (160, 96, 8)
    with pytest.raises(IndexError):
        source[1]


def test_missing_paths_say_what_was_found_instead(tmp_path):
    (tmp_path / "clip.mov.txt").write_text("")
    with pytest.raises(SourceNotFound, match=r"nope\.mp4.*clip\.mov\.txt"):
        open_source(tmp_path / "nope.mp4")
    with pytest.raises(SourceNotFound, match="no images in the folder"):
        open_source(tmp_path)
    with pytest.raises(SourceNotFound, match="pattern"):
        open_source(tmp_path / "a.####.png")
    with pytest.raises(SourceNotFound, match="does not exist"):
        open_source(tmp_path / "no" / "folder.mp4")


def test_a_corrupt_image_in_a_sequence_is_named_when_it_is_reached(tmp_path):
    _write_numbered(tmp_path, ["a1.png", "a2.png", "a3.png"])
    (tmp_path / "a2.png").write_bytes((tmp_path / "a2.png").read_bytes()[:-20])
    source = open_source(tmp_path)
    assert source[0].name == "a1"
    assert source[2].name == "a3"
    with pytest.raises(UnreadableMedia, match=r"a2\.png"):
        source[1]


def test_a_sequence_writer_names_frames_and_stores_float_at_its_depth(tmp_path):
    half = np.full((8, 8, 3), 0.5, np.float32)
    with SequenceWriter(tmp_path / "out", bit_depth=16) as writer:
        writer.write(half, "shot_0101")
        writer.write(half)
        writer.write(half[..., 0], "matte")
    frames = {frame.name: frame.pixels for frame in open_source(tmp_path / "out")}
    assert sorted(frames) == ["000001", "matte", "shot_0101"]
    assert all((pixels == 32768).all() for pixels in frames.values())


def test_a_jpeg_sequence_takes_16_bit_frames(tmp_path):
    with SequenceWriter(tmp_path, ".jpg") as writer:
        writer.write(np.full((16, 16, 3), 257 * 100, np.uint16))
    assert abs(int(read_image_file(tmp_path / "000000.jpg")[0].mean()) - 100) <= 1
