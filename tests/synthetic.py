"""Short clips and images drawn with numpy, for every test package; nothing is read from disk.

Clips are written with plain PyAV, never with the writer under test. Each frame of `numbered_frames`
carries its own number as black and white blocks, which survives any codec, so that a test can ask
a decoded picture which frame it is.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

NUMBER_BITS = 8  # numbers 0 to 255; more frames than any quick test needs
AUDIO_RATE = 48000  # Hz
# the integers of ITU-T H.273 that PyAV wants for the matrix
MATRICES = {"bt709": 1, "smpte170m": 6, "bt2020nc": 9, "rgb": 0, "": 2}
# swscale's own names of the same matrices
SWS_MATRICES = {
    "bt709": Colorspace.ITU709,
    "smpte170m": Colorspace.SMPTE170M,
    "bt2020nc": Colorspace.BT2020,
    "": Colorspace.ITU709,
}
RANGES = {"tv": ColorRange.MPEG, "pc": ColorRange.JPEG, "": ColorRange.UNSPECIFIED}


def picture(width: int = 160, height: int = 96, phase: float = 0.0) -> np.ndarray:
    """(H, W, 3) uint8 RGB: smooth gradients with a coloured disc; `phase` 0..1 moves the disc."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    red = 40 + 150 * x / width
    green = 60 + 120 * y / height
    blue = 200 - 100 * (x + y) / (width + height)
    image = np.stack([red, green, blue], axis=-1)
    center_x = width * (0.25 + 0.5 * phase)
    disc = (x - center_x) ** 2 + (y - height * 0.6) ** 2 < (height * 0.2) ** 2
    image[disc] = (220, 120, 90)
    return np.round(image).astype(np.uint8)


def stamp_number(image: np.ndarray, number: int) -> np.ndarray:
    """A copy of (H, W, 3) `image` with `number` (0 to 255) as blocks along the top edge."""
    result = image.copy()
    block = image.shape[1] // NUMBER_BITS
    full = np.iinfo(image.dtype).max
    for bit in range(NUMBER_BITS):
        result[: max(block, 8), bit * block : (bit + 1) * block] = full * (number >> bit & 1)
    return result


def read_number(image: np.ndarray) -> int:
    """The number that `stamp_number` wrote; `image` is (H, W, 3) of any integer depth."""
    block = image.shape[1] // NUMBER_BITS
    middle = np.iinfo(image.dtype).max / 2
    rows = image[2 : max(block, 8) - 2]  # keeps off the edges, which a codec blurs
    return sum(
        int(rows[:, bit * block + 2 : (bit + 1) * block - 2].mean() > middle) << bit
        for bit in range(NUMBER_BITS)
    )


def numbered_frames(count: int, width: int = 160, height: int = 96) -> list[np.ndarray]:
    """`count` frames (H, W, 3) uint8 RGB of a moving disc, each stamped with its index."""
    return [stamp_number(picture(width, height, i / max(count, 1)), i) for i in range(count)]


def make_clip(
    path: Path,
    frames: Sequence[np.ndarray | av.VideoFrame],
    fps: Fraction | int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    *,
    options: dict[str, str] | None = None,
    pts: Sequence[Fraction] | None = None,
    matrix: str = "bt709",
    color_range: str = "tv",
    rotation: int = 0,
    audio: bool = False,
) -> Path:
    """Write a movie; container by suffix. Returns `path`.

    frames: (H, W, 3) uint8 RGB, or ready VideoFrames of `pix_fmt`, which are stored as they are.
    pts: seconds of each frame for a variable frame rate, in place of `fps`.
    matrix, color_range: how RGB is converted and tagged; "" converts as bt709 tv, tags nothing.
    rotation: degrees counterclockwise of the display matrix (mp4 and mov).
    audio: adds a 440 Hz tone (AAC, mono) as long as the picture.
    """
    time_base = Fraction(1, 90000) if pts is not None else 1 / Fraction(fps)
    first = frames[0]
    height, width = (
        first.shape[:2] if isinstance(first, np.ndarray) else (first.height, first.width)
    )
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = time_base
        stream.time_base = time_base
        stream.codec_context.colorspace = MATRICES[matrix]
        stream.codec_context.color_range = RANGES[color_range]
        if matrix == "bt709":
            stream.codec_context.color_primaries = ColorPrimaries.BT709
            stream.codec_context.color_trc = ColorTrc.BT709
        if rotation:
            stream.set_display_rotation(rotation)
        sound = container.add_stream("aac", rate=AUDIO_RATE, layout="mono") if audio else None
        for index, item in enumerate(frames):
            frame = item
            if isinstance(frame, np.ndarray):
                frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
                if pix_fmt != "rgb24":
                    frame = frame.reformat(
                        format=pix_fmt,
                        dst_colorspace=SWS_MATRICES.get(matrix),
                        dst_color_range=RANGES[color_range or "tv"],
                    )
                frame.colorspace = MATRICES[matrix]
                frame.color_range = RANGES[color_range]
            frame.time_base = time_base
            frame.pts = int(pts[index] / time_base) if pts is not None else index
            frame.pict_type = PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            length = pts[-1] if pts is not None else len(frames) / Fraction(fps)
            for packet in _tone(sound, length):
                container.mux(packet)
    return path


def _tone(stream, seconds: Fraction) -> list[av.Packet]:
    """Packets of a 440 Hz tone for an open audio stream."""
    count = int(seconds * AUDIO_RATE)
    wave = np.sin(np.arange(count, dtype=np.float32) * np.float32(2 * np.pi * 440 / AUDIO_RATE))
    packets: list[av.Packet] = []
    step = 1024  # samples; the frame size of AAC
    for start in range(0, count, step):
        samples = 0.3 * wave[None, start : start + step]
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = AUDIO_RATE, start
        frame.time_base = Fraction(1, AUDIO_RATE)
        packets += stream.encode(frame)
    return packets + stream.encode(None)
