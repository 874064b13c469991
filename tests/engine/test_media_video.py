"""Movies: every frame by index and time, rotation, colour, depth, alpha and damage."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facegraft.errors import SourceNotFound, UnreadableMedia
from facegraft.media.open import open_source
from facegraft.media.video import MovieSource
from tests.synthetic import make_clip, numbered_frames, picture, read_number

COUNT = 40
KINDS = {
    "b-frames.mp4": ("libx264", "yuv420p", {"g": "12", "bf": "3"}),
    "open-gop.mp4": ("libx264", "yuv420p", {"g": "10", "bf": "3", "x264-params": "open-gop=1"}),
    "one-key.mkv": ("libx264", "yuv420p", {"g": "999"}),
    "short-gop.mkv": ("libx264", "yuv420p", {"g": "2", "bf": "2"}),
    "hevc.mp4": ("libx265", "yuv420p", {"g": "12", "x265-params": "log-level=none"}),
    "intra.mov": ("prores_ks", "yuv422p10le", {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"g": "8", "deadline": "realtime", "cpu-used": "8"}),
    "transport.ts": ("libx264", "yuv420p", {"g": "12", "bf": "2"}),
    # one thread: with more, x264 gives another size now and then, and tests cut by size
    "no-times.avi": ("libx264", "yuv420p", {"g": "12", "bf": "2", "threads": "1"}),
    "raw.h264": ("libx264", "yuv420p", {"g": "12", "bf": "2"}),
}


@pytest.fixture(scope="module", params=KINDS)
def clip(request, tmp_path_factory) -> Path:
    codec, pix_fmt, options = KINDS[request.param]
    path = tmp_path_factory.mktemp("clips") / request.param
    return make_clip(path, numbered_frames(COUNT), 25, codec, pix_fmt, options=options)


def test_frames_in_order_carry_their_index_time_and_name(clip):
    with open_source(clip) as source:
        frames = list(source)
        assert source.info.frame_count == COUNT
        assert source.info.fps == 25
        assert source.info.constant_rate
    assert [read_number(frame.pixels) for frame in frames] == list(range(COUNT))
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert [frame.pts for frame in frames] == [Fraction(i, 25) for i in range(COUNT)]
    assert frames[7].name == "000007"


def test_any_order_of_access_gives_the_frame_asked_for(clip):
    order = np.random.default_rng(0).integers(0, COUNT, 40).tolist()
    with open_source(clip) as source:
        assert [read_number(source[index].pixels) for index in order] == order


def test_a_frame_is_the_same_whether_reached_in_order_or_by_a_seek(clip):
    with open_source(clip) as source, open_source(clip) as other:
        in_order = [frame.pixels for frame in source]
        for index in (31, 5, 39, 12):
            np.testing.assert_array_equal(other[index].pixels, in_order[index])


def test_time_selects_the_last_frame_that_is_not_later(clip):
    with open_source(clip) as source:
        assert source.at_time(Fraction(10, 25)).index == 10
        assert source.at_time(Fraction(10, 25) - Fraction(1, 10**9)).index == 9
        assert source.at_time(Fraction(1000)).index == COUNT - 1
        with pytest.raises(IndexError):
            source.at_time(Fraction(-1, 100))


def test_indices_outside_the_clip_are_refused(clip):
    with open_source(clip) as source:
        for index in (-1, COUNT):
            with pytest.raises(IndexError):
                source[index]


def test_reading_in_order_or_thinned_never_seeks(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mp4", numbered_frames(COUNT), options={"g": "12"})
    with MovieSource(path) as source:
        monkeypatch.setattr(source, "_seek", lambda index: pytest.fail(f"seek to {index}"))
        assert [read_number(frame.pixels) for frame in source] == list(range(COUNT))
    with MovieSource(path) as source:
        monkeypatch.setattr(source, "_seek", lambda index: pytest.fail(f"seek to {index}"))
        assert [read_number(source[i].pixels) for i in range(0, COUNT, 5)] == list(
            range(0, COUNT, 5)
        )


def test_a_far_jump_decodes_one_group_of_pictures_only(tmp_path):
    path = make_clip(tmp_path / "a.mp4", numbered_frames(200), options={"g": "10", "bf": "0"})
    with MovieSource(path) as source:
        counted = []
        plain = source._decoded
        source._decoded = lambda packets: (counted.append(0) or item for item in plain(packets))
        assert read_number(source[155].pixels) == 155
        assert len(counted) <= 6


def test_a_variable_rate_keeps_its_exact_times(tmp_path):
    times = [Fraction(i * i, 900) for i in range(20)]
    path = make_clip(tmp_path / "vfr.mp4", numbered_frames(20), pts=times)
    with open_source(path) as source:
        assert not source.info.constant_rate
        assert [frame.pts for frame in source] == times
        assert [source.time_of(i) for i in range(20)] == times
        assert source.at_time(Fraction(17 * 17, 900)).index == 17
        assert source.at_time(Fraction(17 * 17, 900) - Fraction(1, 90000)).index == 16


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_ntsc_rates_are_exact_even_where_the_container_rounds(tmp_path, suffix):
    rate = Fraction(30000, 1001)
    path = make_clip(tmp_path / f"ntsc{suffix}", numbered_frames(50), rate)
    with open_source(path) as source:
        assert source.info.fps == rate
        assert source.info.constant_rate
        assert source[31].pts == 31 / rate


# the eight orientations a display matrix can ask for: a, b, c, d and what it does to a picture
ORIENTATIONS = {
    (1, 0, 0, 1): lambda p: p,
    (-1, 0, 0, 1): lambda p: p[:, ::-1],
    (1, 0, 0, -1): lambda p: p[::-1],
    (-1, 0, 0, -1): lambda p: p[::-1, ::-1],
    (0, 1, -1, 0): lambda p: np.rot90(p, -1),
    (0, -1, 1, 0): lambda p: np.rot90(p),
    (0, 1, 1, 0): lambda p: p.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda p: np.rot90(p, 2).transpose(1, 0, 2),
}


def _set_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Rewrite a, b, c, d in the track header of an mp4 (ISO 14496-12, version 0)."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in matrix)
    for offset, value in ((0, a), (4, b), (12, c), (16, d)):
        data[place + offset : place + offset + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_the_display_matrix_turns_and_mirrors_the_picture(tmp_path, matrix):
    path = make_clip(tmp_path / "turned.mp4", [picture()] * 2)
    with open_source(path) as source:
        upright = source[0].pixels
    _set_matrix(path, matrix)
    expected = ORIENTATIONS[matrix](upright)
    with open_source(path) as source:
        assert (source.info.height, source.info.width) == expected.shape[:2]
        np.testing.assert_array_equal(source[0].pixels, expected)


def test_rotation_written_by_ffmpeg_counts_counterclockwise(tmp_path):
    path = make_clip(tmp_path / "phone.mp4", [picture()] * 2, rotation=90)
    flat = make_clip(tmp_path / "flat.mp4", [picture()] * 2)
    with open_source(path) as source, open_source(flat) as upright:
        np.testing.assert_array_equal(source[0].pixels, np.rot90(upright[0].pixels))


WEIGHTS = {"bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114), "bt2020nc": (0.2627, 0.0593)}
BLOCK = 16  # px; wide enough that chroma filters leave the middle alone


def _yuv_blocks(matrix: str, color_range: str, bits: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Planes of random constant blocks (4:4:4), and their RGB 0..1 by H.273."""
    red, blue = WEIGHTS[matrix]
    rgb = np.random.default_rng(3).random((4, 12, 3))
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    cb = (rgb[..., 2] - luma) / (2 * (1 - blue))
    cr = (rgb[..., 0] - luma) / (2 * (1 - red))
    step, top = 1 << (bits - 8), (1 << bits) - 1
    middle = 128 * step
    if color_range == "tv":
        scale_y, scale_c, black = 219 * step, 224 * step, 16 * step
    else:
        scale_y, scale_c, black = top, top, 0
    stored = [luma * scale_y + black, cb * scale_c + middle, cr * scale_c + middle]
    planes = [np.clip(np.rint(plane), 0, top) for plane in stored]
    y = (planes[0] - black) / scale_y
    u, v = (planes[1] - middle) / scale_c, (planes[2] - middle) / scale_c
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    grown = [np.kron(plane, np.ones((BLOCK, BLOCK))) for plane in planes]
    return grown, np.clip(np.stack([r, g, b], axis=-1), 0, 1)


def _yuv_frame(planes: list[np.ndarray], pix_fmt: str, bits: int) -> av.VideoFrame:
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for target, plane in zip(frame.planes, planes, strict=True):
        step_y, step_x = height // target.height, width // target.width
        rows = plane[::step_y, ::step_x].astype(np.uint8 if bits == 8 else np.uint16)
        memory = np.frombuffer(memoryview(target), rows.dtype).reshape(target.height, -1)
        memory[:, : target.width] = rows
    return frame


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("color_range", ["tv", "pc"])
@pytest.mark.parametrize(
    ("pix_fmt", "bits"),
    [
        ("yuv420p", 8),
        ("yuv422p", 8),
        ("yuv444p", 8),
        ("yuv420p10le", 10),
        ("yuv422p10le", 10),
        ("yuv444p12le", 12),
    ],
)
def test_yuv_becomes_rgb_by_the_closed_form_of_its_tags(
    tmp_path, matrix, color_range, pix_fmt, bits
):
    planes, rgb = _yuv_blocks(matrix, color_range, bits)
    path = make_clip(
        tmp_path / "tags.mkv",
        [_yuv_frame(planes, pix_fmt, bits)],
        codec="ffv1",
        pix_fmt=pix_fmt,
        matrix=matrix,
        color_range=color_range,
    )
    with open_source(path) as source:
        frame = source[0]
        assert source.info.color.matrix == matrix
        assert source.info.color.range == color_range
        assert source.info.bit_depth == (8 if bits == 8 else 16)
    middle = frame.pixels[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK]
    # half a level and swscale's fixed point; 16-bit output within a third of a 12-bit level
    full, limit = (255, 0.6) if bits == 8 else (65535, 5.0)
    assert np.abs(middle - rgb * full).max() <= limit


@pytest.mark.parametrize(
    ("size", "matrix"), [((720, 576), "smpte170m"), ((1280, 720), "bt709"), ((1024, 768), "bt709")]
)
def test_untagged_yuv_is_601_in_sd_and_709_in_hd_as_players_do(tmp_path, size, matrix):
    width, height = size
    red, blue = WEIGHTS[matrix]
    planes = [np.full((height, width), value) for value in (120.0, 110.0, 170.0)]
    frame = _yuv_frame(planes, "yuv420p", 8)
    path = make_clip(tmp_path / "a.mkv", [frame], codec="ffv1", matrix="", color_range="")
    with open_source(path) as source:
        assert source.info.color.matrix == ""
        found = source[0].pixels[height // 2, width // 2]
    y, u, v = (120 - 16) / 219, (110 - 128) / 224, (170 - 128) / 224
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    expected = np.array([r, (y - red * r - blue * b) / (1 - red - blue), b]) * 255
    assert np.abs(found - expected).max() <= 0.6


def test_chroma_of_h264_sits_on_even_columns(tmp_path):
    width, height = 256, 64
    x = np.arange(width)
    planes = [np.full((height, width), value) for value in (120.0, 128.0, 0.0)]
    planes[2][:] = 64 + x / 2  # at even columns, where 4:2:0 keeps it: whole numbers
    frame = _yuv_frame(planes, "yuv420p", 8)
    path = make_clip(tmp_path / "siting.mp4", [frame], options={"qp": "0"})
    with open_source(path) as source:
        red = source[0].pixels[height // 2, :, 0]
    exact = ((120 - 16) / 219 + 2 * (1 - 0.2126) * (64 + x / 2 - 128) / 224) * 255
    inside = slice(16, width // 2)  # further right red leaves the range
    assert np.abs(red[inside] - exact[inside]).max() < 1.4  # a column's shift would be 0.9 more
    assert abs((red[inside] - exact[inside]).mean()) < 0.2


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
@pytest.mark.parametrize("color_range", ["tv", "pc", ""])
def test_grey_movies_follow_their_range_tag(tmp_path, pix_fmt, color_range):
    bits = 8 if pix_fmt == "gray" else 10
    levels = np.tile(np.arange(16, 236) << (bits - 8), (32, 1)).astype(float)
    path = make_clip(
        tmp_path / "grey.mkv",
        [_yuv_frame([levels], pix_fmt, bits)],
        codec="ffv1",
        pix_fmt=pix_fmt,
        matrix="",
        color_range=color_range,
    )
    with open_source(path) as source:
        pixels = source[0].pixels
    full = 255 if bits == 8 else 65535
    top = (1 << bits) - 1
    limited = (levels / (1 << (bits - 8)) - 16) / 219
    expected = (limited if color_range == "tv" else levels / top) * full
    limit = 0.6 if bits == 8 else 3  # two roundings and a gain in 16 bit
    assert np.abs(pixels - expected[..., None]).max() <= limit


def test_rgb_movies_and_their_alpha_come_back_exactly(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 4), np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="bgra")
    path = make_clip(
        tmp_path / "a.mkv", [frame], codec="ffv1", pix_fmt="bgra", matrix="rgb", color_range="pc"
    )
    with open_source(path) as source:
        np.testing.assert_array_equal(source[0].pixels, pixels[..., :3])
        np.testing.assert_array_equal(source[0].alpha, pixels[..., 3])


def test_opening_names_what_is_wrong_with_a_file(tmp_path):
    (tmp_path / "text.mp4").write_text("not a movie at all")
    with pytest.raises(UnreadableMedia, match=r"text\.mp4"):
        open_source(tmp_path / "text.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(UnreadableMedia, match=r"empty\.mp4"):
        open_source(tmp_path / "empty.mp4")
    with pytest.raises(SourceNotFound):
        MovieSource(tmp_path / "none.mp4")


def test_a_recording_without_its_index_is_told_as_such(tmp_path):
    path = make_clip(tmp_path / "cut.mp4", numbered_frames(20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableMedia, match=r"cut\.mp4.*moov"):
        open_source(path)


def test_sound_alone_is_no_clip(tmp_path):
    path = make_clip(tmp_path / "a.mp4", numbered_frames(5), audio=True)
    with av.open(str(path)) as source, av.open(str(tmp_path / "sound.m4a"), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    with pytest.raises(UnreadableMedia, match="no picture, only audio"):
        open_source(tmp_path / "sound.m4a")


def _index_first(path: Path) -> Path:
    """A copy whose index stands before the data, as cameras and web exports write it."""
    result = path.with_stem("front")
    with av.open(str(path)) as source:
        options = {"movflags": "faststart"}
        with av.open(str(result), "w", container_options=options) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
    return result


@pytest.mark.parametrize("name", ["b-frames.mp4", "intra.mov", "one-key.mkv", "no-times.avi"])
def test_a_movie_cut_short_gives_its_good_frames_and_then_names_the_first_lost(tmp_path, name):
    codec, pix_fmt, options = KINDS[name]
    path = make_clip(tmp_path / name, numbered_frames(COUNT), 25, codec, pix_fmt, options=options)
    if path.suffix in (".mp4", ".mov"):
        path = _index_first(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    seen: list[int] = []
    with open_source(path) as source:
        with pytest.raises(UnreadableMedia, match="cut short") as caught:
            for frame in source:
                seen.append(read_number(frame.pixels))
        assert source.info.frame_count == COUNT
    assert seen == list(range(len(seen)))
    assert len(seen) > 0
    assert f"frame {len(seen)} of {COUNT}" in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_avi_cut_between_two_packets_is_still_seen_to_be_cut(tmp_path):
    codec, pix_fmt, options = KINDS["no-times.avi"]
    path = make_clip(
        tmp_path / "a.avi", numbered_frames(COUNT), 25, codec, pix_fmt, options=options
    )
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"00dc", 0, int(len(data) * 0.6))])
    with open_source(path) as source:
        with pytest.raises(UnreadableMedia, match="cut short"):
            for _ in source:
                pass
        assert source.info.frame_count == COUNT


def test_damage_in_mid_file_is_reported_for_its_frame_and_later_ones_still_come(tmp_path):
    path = make_clip(
        tmp_path / "a.mov",
        numbered_frames(20),
        codec="png",
        pix_fmt="rgb24",
        matrix="rgb",
        color_range="pc",
    )
    with av.open(str(path)) as container:
        sizes = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    place = data.index(sizes[8])
    path.write_bytes(data[:place] + bytes(len(sizes[8])) + data[place + len(sizes[8]) :])
    with open_source(path) as source:
        assert [read_number(source[i].pixels) for i in range(8)] == list(range(8))
        with pytest.raises(UnreadableMedia, match="frame 8 of 20"):
            source[8]
        assert [read_number(source[i].pixels) for i in range(9, 20)] == list(range(9, 20))
