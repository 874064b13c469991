"""Makes the demo's two clips: two people who turn their heads, speak and blink.

    .venv/bin/python install/demo/footage.py demo

writes `demo/src.mp4` and `demo/dst.mp4`, 448 x 448 at 25 fps with sound: a hum that follows the
mouth, and a click at every full second. `src` turns further than `dst`, because what a model has
not seen it cannot draw. The same every time; about a minute on one core.
"""

import argparse
import sys
import tempfile
import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from head import Act, Head
from portrait import SIZE, load_portrait
from scipy.signal import lfilter
from second_person import second_person

from facegraft.errors import FacegraftError
from facegraft.media.movie_writer import VideoWriter

FPS = 25
SRC_FRAMES, DST_FRAMES = 150, 100
_CRF = 14  # visually lossless, so that the model learns the face and not the codec
_GRAIN = 0.008  # of full scale: film grain, so that no two frames are alike
_RATE = 48_000  # sound samples per second


@dataclass(frozen=True, slots=True)
class Performance:
    """How far and how fast one person moves; periods in seconds."""

    frames: int
    yaw: float
    pitch: float
    roll: float
    pace: float  # 1 is calm
    blinks: tuple[float, ...]  # seconds
    pitch_hz: float  # of the voice
    seed: int


SRC = Performance(SRC_FRAMES, 25.0, 12.0, 5.0, 1.0, (0.7, 2.2, 3.9, 5.1), 190.0, 1)
DST = Performance(DST_FRAMES, 14.0, 7.0, 4.0, 0.8, (0.9, 2.6), 110.0, 2)


def act_at(performance: Performance, time: float) -> Act:
    """What the head does at a time in seconds: sums of slow waves, pulses for the lids."""
    t = 2 * np.pi * time * performance.pace
    yaw = performance.yaw * (0.75 * np.sin(t / 2.9) + 0.25 * np.sin(t / 1.3 + 1))
    pitch = performance.pitch * (0.7 * np.sin(t / 1.9 + 0.6) + 0.3 * np.sin(t / 0.9))
    roll = performance.roll * np.sin(t / 2.3 + 2)
    talking = np.clip(1.5 * np.sin(t / 2.6 + 0.4) + 0.6, 0, 1)
    vowels = np.abs(np.sin(t / 0.62)) * (0.6 + 0.4 * np.sin(t / 1.1))
    jaw = talking * (1.5 * vowels - 0.35) - (1 - talking) * 0.85 * (0.5 - 0.5 * np.cos(t / 3))
    lids = [np.exp(-(((time - at) / 0.075) ** 2)) for at in performance.blinks]
    return Act(
        yaw=float(yaw),
        pitch=float(pitch),
        roll=float(roll),
        shift=(float(-1.3 * yaw), float(-0.8 * pitch)),  # the neck leans against the turn
        jaw=float(np.clip(jaw, -1, 1)),
        blink=float(min(1.0, sum(lids))),
        brows=float(np.clip(0.8 * np.sin(t / 2.1 - 0.5), 0, 1)),
        narrow=float(np.clip(np.sin(t / 1.7 + 1.2), 0, 1)),
    )


def write_clip(path: Path, head: Head, performance: Performance) -> None:
    """Render and encode one clip with its sound. Raises: WriteError."""
    random = np.random.default_rng(performance.seed)
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.wav"
        _write_sound(sound, performance)
        with VideoWriter(path, SIZE, SIZE, FPS, crf=_CRF, audio_from=sound) as writer:
            for index in range(performance.frames):
                frame = head.render(act_at(performance, index / FPS))
                frame = frame + random.normal(0, _GRAIN, (SIZE, SIZE, 1)).astype(np.float32)
                pixels = np.rint(np.clip(frame, 0, 1) * 255).astype(np.uint8)
                writer.write(pixels, pts=Fraction(index, FPS))


def _write_sound(path: Path, performance: Performance) -> None:
    """A voice of one vowel, as loud as the mouth is open, and a click at every second."""
    times = np.arange(performance.frames * _RATE // FPS) / _RATE
    frame_times = np.arange(performance.frames) / FPS
    jaws = [act_at(performance, float(time)).jaw for time in frame_times]
    loudness = np.clip(np.interp(times, frame_times, jaws), 0, 1)
    voice = 2 * ((times * performance.pitch_hz) % 1) - 1
    for formant, width in ((700, 110), (1150, 130)):  # Hz, an open "a"
        radius = np.exp(-np.pi * width / _RATE)
        voice = lfilter(
            [1 - radius], [1, -2 * radius * np.cos(2 * np.pi * formant / _RATE), radius**2], voice
        )
    voice = voice / np.abs(voice).max() * loudness * 0.4
    since = times % 1.0
    click = 0.3 * np.sin(2 * np.pi * 1000 * since) * np.exp(-since / 0.01)
    samples = np.rint(np.clip(voice + click, -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(samples.tobytes())


def make_footage(folder: Path) -> tuple[Path, Path]:
    """Write src.mp4 and dst.mp4 into `folder`. Raises: MissingWeights, WriteError."""
    folder.mkdir(parents=True, exist_ok=True)
    portrait = load_portrait()
    src, dst = folder / "src.mp4", folder / "dst.mp4"
    write_clip(src, Head(portrait), SRC)
    write_clip(dst, Head(second_person(portrait)), DST)
    return src, dst


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the demo's two clips.")
    parser.add_argument("folder", type=Path, help="where src.mp4 and dst.mp4 go")
    try:
        for path in make_footage(parser.parse_args().folder):
            print(path)
    except FacegraftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
