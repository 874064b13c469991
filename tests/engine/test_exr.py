"""EXR sequences: read by layer and window, written with nothing changed that nobody touched."""

import errno
import logging
import struct
from fractions import Fraction

import Imath
import numpy as np
import OpenEXR
import pytest

from facegraft.errors import ParameterError, SourceNotFound, UnreadableMedia, WriteError
from facegraft.media.exr import read_exr
from facegraft.media.exr_writer import ExrWriter
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from facegraft.media.provenance import Provenance
from facegraft.media.writer import write_frame
from tests.engine.exr_files import bits, odd_half, planes_of, read_parts, window, write_exr


def rewritten(path, folder, change=None, **options):
    """The file written by FaceGraft after `change(pixels)`; its path."""
    picture = read_exr(path)
    after = picture.pixels.copy()
    if change is not None:
        change(after)
    ExrWriter(folder, **options).replace(picture.stored, picture.pixels, after, path.stem)
    return folder / path.name


def test_a_file_written_again_keeps_every_bit_of_every_channel_and_attribute(tmp_path):
    rng = np.random.default_rng(1)
    time_code = OpenEXR.TimeCode()
    time_code.hours, time_code.seconds, time_code.frame = 10, 42, 7
    planes = odd_half() | {
        "A": np.ones((24, 32), np.float16),
        "depth.Z": rng.normal(0, 9, (24, 32)).astype(np.float32),
        "id": rng.integers(0, 2**32, (24, 32), np.uint32),
        "ViewLayer.Mist.V": rng.random((24, 32)).astype(np.float32),
    }
    header = {
        "owner": "a studio",
        "worldToCamera": np.arange(16, dtype=np.float32).reshape(4, 4),
        "chromaticities": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
        "timeCode": time_code,
        "keyCode": OpenEXR.KeyCode(1, 2, 3, 4, 5, 4, 64),
        "layersOf": ["a", "b"],
        "pixelAspectRatio": 2.0,
        "compression": OpenEXR.PIZ_COMPRESSION,
    }
    path = write_exr(tmp_path / "a.exr", planes, **header)
    out = rewritten(path, tmp_path / "out")
    written = planes_of(out)
    assert set(written) == set(planes)
    for name, plane in planes.items():
        assert written[name].dtype == plane.dtype
        np.testing.assert_array_equal(bits(written[name]), bits(plane), name)
    before, after = (read_parts(p)[0].header for p in (path, out))
    assert set(before) == set(after)
    for name in set(before) - {"channels"}:
        assert str(before[name]) == str(after[name]), name


def test_only_pixels_that_differ_change_and_others_keep_their_bits(tmp_path):
    planes = odd_half()
    path = write_exr(tmp_path / "a.exr", planes)

    def change(pixels):
        pixels[10:14, 8:20] = (0.25, 3.0, -1.0)
        pixels[0, 2, 1] += 1  # beside a NaN

    written = planes_of(rewritten(path, tmp_path / "out", change))
    for name, value in zip("RGB", (0.25, 3.0, -1.0), strict=True):
        expected = planes[name].copy()
        expected[10:14, 8:20] = value
        if name == "G":
            expected[0, 2] = np.float16(np.float32(planes["G"][0, 2]) + 1)
        np.testing.assert_array_equal(bits(written[name]), bits(expected))


def test_values_beyond_half_become_its_largest_not_infinite(tmp_path):
    path = write_exr(tmp_path / "a.exr", odd_half())
    written = planes_of(rewritten(path, tmp_path / "out", lambda p: p.__setitem__((5, 5), 1e6)))
    assert written["R"][5, 5] == 65504


def test_the_frame_is_the_display_window_and_overscan_is_kept(tmp_path):
    planes = odd_half(24, 32)
    # stored: x 4..35, y -3..20 of a frame of 30x16: cut on the right, above and below
    path = write_exr(
        tmp_path / "a.exr",
        planes,
        dataWindow=window(4, -3, 32, 24),
        displayWindow=window(0, 0, 30, 16),
    )
    picture = read_exr(path)
    assert picture.pixels.shape == (16, 30, 3)
    np.testing.assert_array_equal(picture.pixels[:, :4], 0)
    np.testing.assert_array_equal(picture.pixels[:, 4:, 2], planes["B"][3:19, :26])

    def change(pixels):
        pixels[0, 0] = 7  # nothing is stored there
        pixels[2, 10] = 7

    out = rewritten(path, tmp_path / "out", change)
    expected = planes["B"].copy()
    expected[5, 6] = 7
    np.testing.assert_array_equal(bits(planes_of(out)["B"]), bits(expected))
    assert [c.tolist() for c in read_parts(out)[0].header["dataWindow"]] == [[4, -3], [35, 20]]


def test_a_display_window_need_not_begin_at_0_nor_touch_what_is_stored(tmp_path):
    planes = odd_half(8, 8)
    inside = write_exr(
        tmp_path / "a.exr",
        planes,
        dataWindow=window(100, 50, 8, 8),
        displayWindow=window(98, 50, 12, 8),
    )
    np.testing.assert_array_equal(read_exr(inside).pixels[:, 2:10, 1], planes["G"])
    apart = write_exr(
        tmp_path / "b.exr",
        planes,
        dataWindow=window(100, 50, 8, 8),
        displayWindow=window(0, 0, 12, 9),
    )
    picture = read_exr(apart)
    assert picture.pixels.shape == (9, 12, 3) and not picture.pixels.any()
    out = rewritten(apart, tmp_path / "out", lambda pixels: pixels.fill(1))
    np.testing.assert_array_equal(bits(planes_of(out)["G"]), bits(planes["G"]))


def test_parts_and_their_own_settings_are_kept(tmp_path):
    planes = odd_half(8, 8)
    depth = {"Z": np.ones((8, 8), np.float32)}
    common = {"type": OpenEXR.scanlineimage}
    zips, rle = OpenEXR.ZIPS_COMPRESSION, OpenEXR.RLE_COMPRESSION
    OpenEXR.File(
        [
            OpenEXR.Part({**common, "name": "depth", "compression": zips}, depth),
            OpenEXR.Part({**common, "name": "beauty", "compression": rle}, dict(planes)),
        ]
    ).write(str(tmp_path / "a.exr"))
    out = rewritten(tmp_path / "a.exr", tmp_path / "out", lambda p: p.__setitem__((3, 3), 0.5))
    first, second = read_parts(out)
    assert (first.name(), second.name()) == ("depth", "beauty")
    assert first.compression() == zips
    assert second.compression() == rle
    np.testing.assert_array_equal(first.channels["Z"].pixels, 1)
    assert second.channels["R"].pixels[3, 3] == 0.5


def test_tiles_are_kept(tmp_path):
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    path = write_exr(tmp_path / "a.exr", odd_half(), type=OpenEXR.tiledimage, tiles=tiles)
    header = read_parts(rewritten(path, tmp_path / "out"))[0].header
    assert header["type"] == OpenEXR.tiledimage
    assert (header["tiles"].xSize, header["tiles"].ySize) == (16, 16)


def test_layers_are_found_by_rule_or_by_name(tmp_path):
    rng = np.random.default_rng(0)

    def layer(prefix):
        return {f"{prefix}{c}": rng.random((4, 4)).astype(np.float32) for c in "RGB"}

    plain, combined, left, right = layer(""), layer("View.Combined."), layer("l."), layer("r.")
    both = write_exr(tmp_path / "both.exr", plain | combined)
    np.testing.assert_array_equal(read_exr(both).pixels[..., 0], plain["R"])
    picture = read_exr(both, "view.combined")
    np.testing.assert_array_equal(picture.pixels[..., 2], combined["View.Combined.B"])
    blender = write_exr(tmp_path / "blender.exr", combined | layer("View.Diffuse."))
    np.testing.assert_array_equal(read_exr(blender).pixels[..., 0], combined["View.Combined.R"])
    stereo = write_exr(tmp_path / "stereo.exr", left | right)
    with pytest.raises(UnreadableMedia, match=r"choose a layer: l, r"):
        read_exr(stereo)
    with pytest.raises(UnreadableMedia, match=r"no layer 'beauty'; it has l, r"):
        read_exr(stereo, "beauty")
    with open_source(stereo, layer="r") as source:
        np.testing.assert_array_equal(source[0].pixels[..., 1], right["r.G"])


def test_grey_is_shown_as_rgb_and_written_back_as_luminance(tmp_path):
    grey = np.linspace(0, 2, 16, dtype=np.float32).reshape(4, 4)
    path = write_exr(tmp_path / "a.exr", {"Y": grey})
    np.testing.assert_array_equal(read_exr(path).pixels, np.repeat(grey[..., None], 3, axis=2))

    def change(pixels):
        pixels[0, 0] = (1.0, 0.5, 0.25)

    expected = grey.copy()
    expected[0, 0] = 0.2126 + 0.7152 * 0.5 + 0.0722 * 0.25
    np.testing.assert_allclose(planes_of(rewritten(path, tmp_path / "out", change))["Y"], expected)


@pytest.mark.parametrize(
    ("channels", "sentence"),
    [
        ({"Z": np.zeros((4, 4), np.float32)}, "no colour"),
        ({c: np.zeros((4, 4), np.uint32) for c in "RGB"}, "whole numbers"),
        ({c: np.zeros((4, 4), np.float32) for c in "RG"}, "no colour"),
    ],
)
def test_files_without_colour_are_refused(tmp_path, channels, sentence):
    path = write_exr(tmp_path / "a.exr", channels)
    with pytest.raises(UnreadableMedia, match=sentence) as caught:
        read_exr(path)
    assert str(path) in str(caught.value)


def write_subsampled(path, steps):
    """4x4 half file with a sampling step per channel, by OpenEXR's older interface."""
    half = Imath.PixelType(Imath.PixelType.HALF)
    header = OpenEXR.Header(4, 4)
    header["channels"] = {name: Imath.Channel(half, step, step) for name, step in steps.items()}
    file = OpenEXR.OutputFile(str(path), header)
    file.writePixels({name: bytes(2 * (4 // step) ** 2) for name, step in steps.items()})
    file.close()


def test_what_openexr_cannot_write_again_is_a_write_error(tmp_path):
    write_subsampled(tmp_path / "a.exr", {"R": 1, "G": 1, "B": 1, "extra": 2})
    with pytest.raises(WriteError, match=r"OpenEXR says.*shapes differ"):
        rewritten(tmp_path / "a.exr", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_deep_and_subsampled_and_mipmapped_files_are_refused(tmp_path):
    samples = np.empty((4, 4), object)
    for index in np.ndindex(4, 4):
        samples[index] = np.ones(2, np.float32)
    deep = tmp_path / "deep.exr"
    OpenEXR.File(
        {"type": OpenEXR.deepscanline, "compression": OpenEXR.ZIPS_COMPRESSION},
        {c: samples.copy() for c in "RGB"},
    ).write(str(deep))
    with pytest.raises(UnreadableMedia, match="deep data"):
        read_exr(deep)
    write_subsampled(tmp_path / "yc.exr", {"Y": 1, "RY": 2, "BY": 2})
    with pytest.raises(UnreadableMedia, match="subsampled chroma"):
        read_exr(tmp_path / "yc.exr")
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    flat = write_exr(tmp_path / "a.exr", odd_half(), type=OpenEXR.tiledimage, tiles=tiles)
    entry = b"tiledesc\0" + struct.pack("<iIIB", 9, 16, 16, 0)
    data = flat.read_bytes()
    assert entry in data
    flat.write_bytes(data.replace(entry, entry[:-1] + b"\1"))  # claims mip levels
    with pytest.raises(UnreadableMedia, match="mip levels"):
        read_exr(flat)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.99])
def test_a_file_cut_short_is_named(tmp_path, share):
    path = write_exr(tmp_path / "a.exr", odd_half(), compression=OpenEXR.ZIP_COMPRESSION)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableMedia, match="cut short") as caught:
        read_exr(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_one_that_is_no_exr_are_named(tmp_path):
    with pytest.raises(SourceNotFound, match=r"nothing\.exr"):
        read_exr(tmp_path / "nothing.exr")
    (tmp_path / "text.exr").write_text("hello")
    with pytest.raises(UnreadableMedia, match=r"text\.exr"):
        read_exr(tmp_path / "text.exr")


def test_a_lossy_compression_gives_way_so_that_untouched_pixels_stay(tmp_path, caplog):
    path = write_exr(tmp_path / "a.exr", odd_half(), compression=OpenEXR.DWAA_COMPRESSION)
    read = planes_of(path)
    with caplog.at_level(logging.WARNING):
        out = rewritten(path, tmp_path / "out")
    assert read_parts(out)[0].compression() == OpenEXR.ZIP_COMPRESSION
    assert "DWAA is lossy" in caplog.text
    for name in "RGB":
        np.testing.assert_array_equal(bits(planes_of(out)[name]), bits(read[name]))


def test_compression_is_the_plates_or_the_users(tmp_path):
    path = write_exr(tmp_path / "a.exr", odd_half(), compression=OpenEXR.RLE_COMPRESSION)
    kept, chosen = (
        rewritten(path, tmp_path / "k"),
        rewritten(path, tmp_path / "c", compression="piz"),
    )
    assert read_parts(kept)[0].compression() == OpenEXR.RLE_COMPRESSION
    assert read_parts(chosen)[0].compression() == OpenEXR.PIZ_COMPRESSION
    with pytest.raises(ParameterError, match="none, rle, zips, zip, piz"):
        ExrWriter(tmp_path, compression="dwaa")


def test_a_sequence_of_exr_says_size_rate_space_and_float(tmp_path):
    for index in range(3):
        write_exr(tmp_path / f"s.{index + 7:04d}.exr", odd_half(seed=index))
    with open_source(tmp_path / "s.####.exr") as source:
        info = source.info
        assert (info.width, info.height, info.frame_count) == (32, 24, 3)
        assert info.is_float and info.bit_depth == 16 and info.fps == 25
        assert info.space.name == "linear_rec709"
        assert [frame.name for frame in source] == ["s.0007", "s.0008", "s.0009"]
        frame = source[1]
        assert frame.pixels.dtype == np.float32 and frame.premultiplied
        expected = odd_half(seed=1)
        for index, name in enumerate("RGB"):
            np.testing.assert_array_equal(frame.pixels[..., index], expected[name])
        assert np.isfinite(frame.display()).all()


def test_the_header_says_rate_and_primaries(tmp_path):
    ap1 = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
    path = write_exr(
        tmp_path / "a.exr", odd_half(), chromaticities=ap1, framesPerSecondXX="abcdefgh"
    )
    data = path.read_bytes()
    placeholder = b"framesPerSecondXX\0string\0" + struct.pack("<i", 8) + b"abcdefgh"
    rational = b"framesPerSecond\0rational\0" + struct.pack("<iiI", 8, 24000, 1001)
    assert placeholder in data and len(placeholder) == len(rational)
    path.write_bytes(data.replace(placeholder, rational))
    with open_source(path) as source:
        assert source.info.fps == Fraction(24000, 1001)
        assert source.info.space.name == "acescg"
    with open_source(path, fps=30, space="linear_rec2020") as source:
        assert (source.info.fps, source.info.space.name) == (30, "linear_rec2020")
    assert read_parts(rewritten(path, tmp_path / "o"))[0].header["framesPerSecond"] == Fraction(
        24000, 1001
    )


def test_a_file_of_another_size_or_kind_in_a_sequence_is_named(tmp_path):
    write_exr(tmp_path / "s.0001.exr", odd_half(24, 32))
    write_exr(tmp_path / "s.0002.exr", odd_half(24, 30))
    write_image(tmp_path / "s.0003.png", np.zeros((24, 32, 3), np.uint8))
    with open_source(tmp_path) as source:
        with pytest.raises(UnreadableMedia, match=r"s\.0002\.exr is 30x24.*32x24"):
            source[1]
        with pytest.raises(UnreadableMedia, match=r"s\.0003\.png holds uint8"):
            source[2]


def test_alpha_is_taken_out_of_the_colour_where_it_counts_and_put_back(tmp_path):
    alpha = np.array([[0.0, 0.25, 0.5, 1.0]], np.float32)
    straight = np.full((1, 4), 0.6, np.float32)
    planes = {c: straight * alpha for c in "RGB"} | {"A": alpha}
    planes["R"][0, 0] = 0.3  # light without coverage, as glows have
    write_exr(tmp_path / "a.exr", planes)
    with open_source(tmp_path / "a.exr", space="display") as source:
        frame = source[0]
    np.testing.assert_allclose(frame.display()[0, :, 1], [0, 0.6, 0.6, 0.6], atol=1e-6)
    assert frame.display()[0, 0, 0] == np.float32(0.3)
    np.testing.assert_allclose(frame.from_display(frame.display()), frame.pixels, atol=1e-6)


def test_whole_number_frames_become_linear_half_or_float_that_give_every_level_back(tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_image(tmp_path / "in" / "a8.png", np.dstack([levels] * 3))
    deep = (np.arange(256, dtype=np.uint16) * 257 + 3 * np.arange(256)).reshape(16, 16)
    write_image(tmp_path / "in" / "b16.png", np.dstack([deep.astype(np.uint16)] * 3))
    with open_source(tmp_path / "in") as source, ExrWriter(tmp_path / "out") as writer:
        for frame in source:
            write_frame(writer, frame, frame.pixels, frame.name)
            with open_source(tmp_path / "out" / f"{frame.name}.exr") as back:
                full = 255 if frame.pixels.dtype == np.uint8 else 65535
                assert back.info.space.name == "linear_rec709"
                np.testing.assert_array_equal(np.rint(back[0].display() * full), frame.pixels)
    assert planes_of(tmp_path / "out" / "a8.exr")["R"].dtype == np.float16
    assert planes_of(tmp_path / "out" / "b16.exr")["R"].dtype == np.float32


def test_provenance_is_in_the_header_and_an_own_comment_stays(tmp_path):
    about = Provenance("Face replaced in a test.")
    path = write_exr(tmp_path / "a.exr", odd_half(), comments="take 3")
    header = read_parts(rewritten(path, tmp_path / "out", about=about))[0].header
    assert header["facegraft"] == "Face replaced in a test."
    assert header["comments"] == "take 3"
    ExrWriter(tmp_path / "new", about=about).write(np.zeros((4, 4), np.float32), "m")
    assert read_parts(tmp_path / "new" / "m.exr")[0].header["comments"] == about.text


def test_a_full_disk_and_a_forbidden_place_are_write_errors_and_leave_nothing(
    tmp_path, monkeypatch
):
    writer = ExrWriter(tmp_path / "out")

    def full(self, name):
        raise RuntimeError(f"Failed to write pixel data to {name}. No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr(OpenEXR.File, "write", full)
        with pytest.raises(WriteError, match=r"m\.exr: No space left.*free space") as caught:
            writer.write(np.zeros((4, 4), np.float32), "m")
    assert caught.value.errno == errno.ENOSPC
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="cannot write"):
        ExrWriter(tmp_path / "file").write(np.zeros((4, 4), np.float32), "m")


def test_files_too_large_to_hold_are_read_again_for_writing(tmp_path, monkeypatch):
    monkeypatch.setattr("facegraft.media.exr.KEEP_BYTES", 100)
    planes = odd_half()
    path = write_exr(tmp_path / "a.exr", planes)
    assert read_exr(path).stored.held is None
    written = planes_of(rewritten(path, tmp_path / "out", lambda p: p.__setitem__((9, 9), 0.5)))
    assert written["R"][9, 9] == 0.5
    np.testing.assert_array_equal(bits(written["G"])[:9], bits(planes["G"])[:9])
