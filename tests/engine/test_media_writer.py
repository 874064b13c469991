"""Movies written: pixels, times, tags, sound, odd sizes and failures."""

import os
import resource
import signal
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from facegraft.errors import ParameterError, SourceNotFound, WriteError
from facegraft.media.codecs import CODECS, VideoCodec, find_codec
from facegraft.media.open import open_source
from facegraft.media.planes import make_frame
from facegraft.media.source import ColorTags
from facegraft.media.writer import SequenceWriter, VideoWriter, open_writer
from tests.synthetic import AUDIO_RATE, make_clip, numbered_frames, picture, read_number

FPS = Fraction(24000, 1001)
PAIRS = [(codec, suffix) for codec, line in CODECS.items() for suffix in line.suffixes]


def _write(path: Path, frames: list[np.ndarray], fps: Fraction | int = FPS, **settings) -> Path:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width, height, fps, **settings) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.mark.parametrize(("codec", "suffix"), PAIRS)
def test_every_codec_in_every_container_keeps_count_order_rate_and_colours(tmp_path, codec, suffix):
    frames = numbered_frames(12)
    path = _write(tmp_path / f"a{suffix}", frames, codec=codec)
    with open_source(path) as source:
        back = list(source)
        assert source.info.fps == FPS
        assert source.info.constant_rate
        color = source.info.color
        assert color.primaries == "bt709"
        expected = ("rgb", "pc") if "b" in CODECS[codec].formats.get(8, "")[:3] else ("bt709", "tv")
        assert (color.matrix, color.range) == expected
    assert [read_number(frame.pixels) for frame in back] == list(range(12))
    flat = (slice(40, None), slice(None, None, 4))  # below the stamped number, whose edges blur
    errors = [np.abs(b.image[flat] * 255 - f[flat]) for b, f in zip(back, frames, strict=True)]
    assert np.mean(errors) < 2.0  # halved chroma at the disc's edge; a wrong matrix costs 4


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_clips_shorter_than_the_encoders_delay_are_whole(tmp_path, codec, count):
    path = _write(tmp_path / "a.mp4", numbered_frames(count), codec=codec)
    with open_source(path) as source:
        assert [read_number(frame.pixels) for frame in source] == list(range(count))
        assert source.info.fps == FPS


EXACT = [(VideoCodec.FFV1, ".mkv", 8), (VideoCodec.FFV1, ".mkv", 16)]
EXACT += [(VideoCodec.PNG, ".mov", 8), (VideoCodec.PNG, ".mov", 16)]
EXACT += [(VideoCodec.H264_RGB, ".mp4", 8), (VideoCodec.H264_RGB, ".mkv", 8)]
EXACT += [(VideoCodec.LOSSLESS, suffix, 8) for suffix in (".mkv", ".mov", ".mp4")]


@pytest.mark.parametrize(("codec", "suffix", "bits"), EXACT)
def test_lossless_codecs_give_back_every_bit_at_odd_sizes_too(tmp_path, codec, suffix, bits):
    random = np.random.default_rng(2)
    dtype = np.uint8 if bits == 8 else np.uint16
    frames = [random.integers(0, 2**bits, (33, 51, 3), dtype) for _ in range(3)]
    path = _write(tmp_path / f"a{suffix}", frames, codec=codec, bit_depth=bits)
    with open_source(path) as source:
        for frame, expected in zip(source, frames, strict=True):
            np.testing.assert_array_equal(frame.pixels, expected)
            assert frame.pixels.dtype == dtype


@pytest.mark.parametrize(
    ("codec", "suffix", "limit"),
    [("ffv1", ".mkv", 0), ("png", ".mov", 0), ("prores4444", ".mov", 70)],
)
def test_alpha_is_stored_by_codecs_that_have_it(tmp_path, codec, suffix, limit):
    pixels, alpha = picture(), np.tile(np.linspace(0, 255, 160).astype(np.uint8), (96, 1))
    with VideoWriter(tmp_path / f"a{suffix}", 160, 96, 25, codec=codec, alpha=True) as writer:
        writer.write(pixels, alpha=alpha)
    with open_source(tmp_path / f"a{suffix}") as source:
        found = source[0].alpha
        assert found is not None
        gain = 1 if found.dtype == np.uint8 else 257
        assert np.abs(found.astype(int) - alpha.astype(int) * gain).max() <= limit


def test_float_frames_are_stored_like_the_integers_they_stand_for(tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = np.stack([levels, levels.T, levels[::-1]], axis=-1)
    path = tmp_path / "a.mkv"
    with VideoWriter(path, 16, 16, 25, codec="lossless") as writer:
        writer.write(pixels.astype(np.float32) / np.float32(255))
        writer.write(levels.astype(np.float32) / np.float32(255))
    with open_source(path) as source:
        np.testing.assert_array_equal(source[0].pixels, pixels)
        np.testing.assert_array_equal(source[1].pixels, np.stack([levels] * 3, axis=-1))


@pytest.mark.parametrize("primaries", ["bt709", "bt2020"])
@pytest.mark.parametrize(("codec", "bits"), [("ffv1-yuv", 8), ("prores4444", 10)])
def test_the_matrix_used_is_the_one_that_is_tagged(tmp_path, primaries, codec, bits):
    """YUV samples of flat blocks against H.273's closed form, read without any conversion."""
    if codec == "ffv1-yuv":
        codec, suffix = "h264", ".mp4"
    else:
        suffix = ".mov"
    rgb = np.random.default_rng(5).integers(0, 256, (3, 8, 3), np.uint8)
    image = np.kron(rgb, np.ones((16, 16, 1), np.uint8))
    path = tmp_path / f"a{suffix}"
    crf = 0 if codec == "h264" else None
    color = ColorTags(primaries=primaries)
    with VideoWriter(path, 128, 48, 25, codec=codec, color=color, crf=crf) as writer:
        writer.write(image)
    red, blue = (0.2126, 0.0722) if primaries == "bt709" else (0.2627, 0.0593)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == (1 if primaries == "bt709" else 9)
        dtype = np.uint8 if bits == 8 else np.uint16
        planes = [
            np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)[:, : plane.width]
            for plane in frame.planes
        ]
    step = 1 << (planes[0].max() > 255) * 4 if dtype == np.uint16 else 1
    values = rgb / 255
    luma = values @ np.array([red, 1 - red - blue, blue])
    cb, cr = (values[..., 2] - luma) / (2 * (1 - blue)), (values[..., 0] - luma) / (2 * (1 - red))
    expected = [16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr]
    for plane, closed in zip(planes, expected, strict=True):
        size = plane.shape[1] // 8
        middle = plane[size // 2 :: size, size // 2 :: size].astype(float) / step
        assert np.abs(middle - closed).max() < 1.2  # rounding, and the codec at its best quality


def test_chroma_goes_where_h264_and_h265_say_it_is(tmp_path):
    """A steep red ramp comes back in place: half a column's shift would cost 0.55 levels."""
    image = np.full((64, 160, 3), 100 / 255, np.float32)
    image[..., 0] = (20 + 1.4 * np.arange(160)) / 255
    path = _write(tmp_path / "a.mp4", [image], 25, codec="h265", crf=0, bit_depth=16)
    with open_source(path) as source:
        red = source[0].image[32, 16:-16, 0] * 255
    assert abs((red - image[32, 16:-16, 0] * 255).mean()) < 0.1


def test_odd_sides_become_even_by_repeating_the_last_row_and_column(tmp_path):
    path = _write(tmp_path / "a.mp4", [picture(161, 97)], 25, crf=4)
    with open_source(path) as source:
        pixels = source[0].pixels
    assert pixels.shape == (98, 162, 3)
    assert np.abs(pixels[:97, :161].astype(int) - picture(161, 97)).mean() < 1.0
    assert np.abs(pixels[:, 161].astype(int) - pixels[:, 160]).mean() < 2.0


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_variable_rate_is_written_with_the_times_of_its_source(tmp_path, suffix):
    times = [Fraction(i * i + i, 1000) for i in range(15)]
    clip = make_clip(tmp_path / "vfr.mp4", numbered_frames(15), pts=times)
    out = tmp_path / f"out{suffix}"
    with open_source(clip) as source:
        with open_writer(out, source.info) as writer:
            for frame in source:
                writer.write(frame.pixels, frame.name, frame.pts)
    with open_source(out) as source:
        assert not source.info.constant_rate
        assert [frame.pts for frame in source] == times
        assert [read_number(frame.pixels) for frame in source] == list(range(15))


@pytest.mark.parametrize(
    "rate", [Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(48, 5)]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_any_rational_rate_reads_back_exactly(tmp_path, rate, suffix):
    path = _write(tmp_path / f"a{suffix}", numbered_frames(30), rate)
    with open_source(path) as source:
        assert source.info.fps == rate
        assert source.time_of(29) == 29 / rate


def test_times_that_do_not_rise_and_wrong_sizes_are_refused(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 160, 96, 25) as writer:
        writer.write(picture(), pts=Fraction(1, 25))
        with pytest.raises(ParameterError, match="must rise"):
            writer.write(picture(), pts=Fraction(1, 25))
        with pytest.raises(ParameterError, match="80x96.*160x96"):
            writer.write(picture(80, 96))
        writer.write(picture())
    with open_source(tmp_path / "a.mp4") as source:
        assert source.info.frame_count == 2


def test_settings_that_do_not_fit_are_refused_by_name(tmp_path):
    cases: list[tuple[dict[str, Any], str]] = [
        ({"codec": "h266"}, "unknown codec 'h266'"),
        ({"codec": "prores"}, "prores does not go into .mp4"),
        ({"crf": 52}, "crf is 52; the limits are 0 to 51"),
        ({"codec": "h264-rgb", "crf": 3}, "h264-rgb has no crf"),
        ({"alpha": True}, "h264 stores no alpha"),
        ({"codec": "lossless", "bit_depth": 16}, "stores 8 bit, the pixels have 16"),
    ]
    for settings, words in cases:
        with pytest.raises(ParameterError, match=words):
            VideoWriter(tmp_path / "a.mp4", 160, 96, 25, **settings)
    with pytest.raises(ParameterError, match=r"\.avi"):
        find_codec("h264", ".avi")
    assert not list(tmp_path.iterdir())


def _seconds(stamp: int | None, clock: Any) -> Fraction:
    assert stamp is not None
    return stamp * clock.time_base


def _onset(path: Path) -> tuple[float, str]:
    """Seconds from the first picture to the click in the sound, and the sound's codec."""
    with av.open(str(path)) as container:
        picture_start = _seconds(container.streams.video[0].start_time, container.streams.video[0])
        name = container.streams.audio[0].codec_context.name
        position = None
        parts = []
        for frame in container.decode(audio=0):
            if position is None:
                position = _seconds(frame.pts, frame)
            samples = np.abs(frame.to_ndarray().astype(float))
            parts.append(samples.max(axis=0) if frame.format.is_planar else samples[0])
    wave = np.concatenate(parts)
    assert position is not None
    return float(position - picture_start) + float(
        np.argmax(wave > 0.3 * wave.max())
    ) / AUDIO_RATE, name


def _click_clip(path: Path, codec: str, delay_s: float = 0.0) -> Path:
    """Ten pictures a second for 2 s with a click 0.5 s after the sound's start."""
    samples = np.zeros((1, 2 * AUDIO_RATE), np.int16)
    samples[0, AUDIO_RATE // 2 : AUDIO_RATE // 2 + 400] = 20000
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        sound: Any = container.add_stream(codec, rate=AUDIO_RATE, layout="mono")
        resampler = av.AudioResampler(sound.codec_context.format.name, "mono", AUDIO_RATE, 1024)
        for index, image in enumerate(numbered_frames(20)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index + round(delay_s * 10)
            frame.time_base = Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = AUDIO_RATE, 0, Fraction(1, AUDIO_RATE)
        for piece in [*resampler.resample(block), *resampler.resample(None)]:
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    ("source_name", "codec"), [("a.mp4", "aac"), ("p.mov", "pcm_s16le"), ("f.mkv", "flac")]
)
def test_sound_is_copied_where_players_know_it_else_aac_and_stays_in_step(
    tmp_path, source_name, codec, suffix
):
    clip = _click_clip(tmp_path / source_name, codec)
    out = _write(tmp_path / f"out{suffix}", numbered_frames(20), 10, audio_from=clip)
    (before, _), (after, found) = _onset(clip), _onset(out)
    copied = codec == "aac" or suffix == ".mkv" or (codec == "pcm_s16le" and suffix == ".mov")
    assert found == (codec if copied else "aac")
    assert abs(after - before) < 0.002


def test_sound_keeps_its_distance_to_a_picture_that_starts_late(tmp_path):
    clip = _click_clip(tmp_path / "late.mkv", "aac", delay_s=0.2)
    before, _ = _onset(clip)
    assert abs(before - 0.3) < 0.01
    out = _write(tmp_path / "out.mkv", numbered_frames(20), 10, audio_from=clip)
    assert abs(_onset(out)[0] - before) < 0.002


def test_copied_sound_is_the_same_packets_and_ends_with_the_picture(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", numbered_frames(50), audio=True)

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    whole = _write(tmp_path / "whole.mp4", numbered_frames(50), 25, audio_from=clip)
    assert packets(whole) == packets(clip)
    part = packets(_write(tmp_path / "part.mp4", numbered_frames(25), 25, audio_from=clip))
    assert part == packets(clip)[: len(part)]
    assert abs(len(part) * 1024 / AUDIO_RATE - 1) < 0.05


def test_a_missing_sound_clip_leaves_nothing_behind(tmp_path):
    with pytest.raises(SourceNotFound, match="sound"):
        VideoWriter(tmp_path / "a.mp4", 160, 96, 25, audio_from=tmp_path / "no.mp4")
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_when_the_block_fails_or_no_frame_came(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"older")
    with pytest.raises(RuntimeError, match="merge failed"):
        with VideoWriter(path, 160, 96, 25) as writer:
            writer.write(picture())
            raise RuntimeError("merge failed")
    with pytest.raises(WriteError, match="no frame"):
        with VideoWriter(path, 160, 96, 25):
            pass
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert path.read_bytes() == b"older"


@pytest.fixture
def small_disk():
    """Writes past 100 kB fail as on a full disk (EFBIG in place of ENOSPC)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("ffv1", ".mkv"), ("png", ".mov")])
def test_a_full_disk_is_a_write_error_and_leaves_nothing(tmp_path, small_disk, codec, suffix):
    random = np.random.default_rng(0)
    frames = [random.integers(0, 256, (96, 160, 3), np.uint8) for _ in range(40)]
    with pytest.raises(WriteError, match=f"a{suffix}: {os.strerror(27)}") as caught:
        _write(tmp_path / f"a{suffix}", frames, codec=codec)
    assert caught.value.errno == 27
    assert not list(tmp_path.iterdir())


def test_a_full_disk_stops_a_sequence_between_two_whole_files(tmp_path, small_disk):
    random = np.random.default_rng(0)
    with pytest.raises(WriteError, match="000001.png"):
        with SequenceWriter(tmp_path) as writer:
            writer.write(picture())
            writer.write(random.integers(0, 256, (300, 300, 3), np.uint8))
    assert [file.name for file in tmp_path.iterdir()] == ["000000.png"]


def test_a_folder_that_cannot_be_made_is_a_write_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"file.a\.mp4"):
        VideoWriter(tmp_path / "file" / "a.mp4", 160, 96, 25)
    with pytest.raises(WriteError, match="file"):
        SequenceWriter(tmp_path / "file").write(picture())


def test_open_writer_makes_a_movie_or_a_folder_by_the_path(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", numbered_frames(5), FPS, audio=True)
    with open_source(clip) as source:
        with open_writer(tmp_path / "out.mov", source.info) as movie:
            with open_writer(tmp_path / "frames", source.info) as images:
                for frame in source:
                    movie.write(frame.pixels, frame.name, frame.pts)
                    images.write(frame.pixels, frame.name, frame.pts)
    with open_source(tmp_path / "out.mov") as result:
        assert result.info.has_audio
        assert result.info.fps == FPS
    assert open_source(tmp_path / "frames").info.frame_count == 5


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv422p10le"])
def test_grey_is_stored_as_a_picture_of_three_equal_channels_is(pix_fmt):
    dtype = np.uint8 if pix_fmt == "yuv420p" else np.uint16
    full = np.iinfo(dtype).max
    grey = np.linspace(0, full, 64 * 48).round().astype(dtype).reshape(48, 64)
    planes = [
        make_frame(pixels, None, pix_fmt, "bt709").to_ndarray()
        for pixels in (grey, np.stack([grey] * 3, axis=2))
    ]
    np.testing.assert_array_equal(planes[0], planes[1])
