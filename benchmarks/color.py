"""What the colour stages of a merge cost, and how near they come to a known answer.

    python benchmarks/color.py [FOOTAGE] [--sheet build/color.png] [--repeats 9] [--step 20]

First a table of processor milliseconds, on one thread: fitting and applying each transfer, light
match, seamless cloning beside OpenCV's 8-bit one. Then, with FOOTAGE at hand, a score: the face of
`ada_as_ben_truth` is put under another light (a ramp across it, a tint, another gamma), and each
method has `ben_dst` to bring it back by. The answer is the truth itself; PSNR is taken in the face
region. That is what a perfect network under wrong light would need; a real one is `fidelity.py`'s.
The picture shows every method on one frame.
"""

import argparse
import json
import statistics
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft.faces.align import align_matrix, warp_image
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from facegraft.merge.color.histogram import fit_histogram, match_histogram
from facegraft.merge.color.light import match_light
from facegraft.merge.color.seamless import seamless_clone
from facegraft.merge.color.transfer import counted, fit_transfer
from facegraft.merge.params import ColorTransfer
from facegraft.model_spec import FaceType

FOOTAGE = Path(__file__).parent.parent.parent / "shared" / "footage"
FILES = ("ben_dst.mp4", "ada_as_ben_truth.mp4", "ben_dst_facemask.zip", "ben_dst_landmarks.json")
SIZE = 256  # px of the square, as a 256 px model has it
LIGHT_SIZES = (40, 80, 160, 320)  # permille of the square
COLUMNS = 6  # of the picture

# face, reference, mask to the face as it would be laid on the frame
Method = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def main() -> None:
    args = arguments()
    cv2.setNumThreads(1)
    costs(args.repeats)
    missing = [name for name in FILES if not (args.footage / name).exists()]
    if missing:
        print(f"no scores: {args.footage} lacks {', '.join(missing)}")
        return
    scores(args.footage, args.step, args.sheet)


def transfer(kind: ColorTransfer, face: np.ndarray, frame: np.ndarray, mask: np.ndarray) -> Any:
    weights = counted(kind, mask, np.ones_like(mask))
    return fit_transfer(kind, face, frame, weights).apply(face)


def lit(size: float, face: np.ndarray, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return match_light(face, frame, mask, 1.0, size / 1000 * len(face))


def cloned(face: np.ndarray, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return seamless_clone(face, frame, mask >= 0.1)


def after(first: Method, second: Method) -> Method:
    return lambda face, frame, mask: second(first(face, frame, mask), frame, mask)


RCT = partial(transfer, ColorTransfer.RCT)
METHODS: dict[str, Method] = {
    **{kind.value: partial(transfer, kind) for kind in ColorTransfer},
    "hist match": match_histogram,
    **{f"light {size}": partial(lit, size) for size in LIGHT_SIZES},
    "seamless": cloned,
    "seamless, rct": after(cloned, RCT),
    "rct, light 80": after(RCT, partial(lit, 80)),
    "light 80, rct": after(partial(lit, 80), RCT),
    "light 80, seamless": after(partial(lit, 80), cloned),
}


def costs(repeats: int) -> None:
    """Prints processor milliseconds on soft noise, under an oval mask."""
    print(f"{'CPU ms, fit | apply, at px':28}{'256':>16}{'512':>16}")
    rows: dict[str, list[str]] = {}
    for size in (256, 512):
        face, frame, mask = noise(1, size), noise(2, size), oval(size)
        for kind in ColorTransfer:
            fit = partial(fit_transfer, kind, face, frame, mask)
            times = milliseconds(fit, repeats), milliseconds(partial(fit().apply, face), repeats)
            rows.setdefault(kind.value, []).append("{:.1f} | {:.1f}".format(*times))
        fit = partial(fit_histogram, face, frame, mask)
        times = milliseconds(fit, repeats), milliseconds(partial(fit().apply, face), repeats)
        rows.setdefault("hist match", []).append("{:.1f} | {:.1f}".format(*times))
        for permille in LIGHT_SIZES:
            work = partial(lit, permille, face, frame, mask)
            rows.setdefault(f"light {permille}", []).append(f"{milliseconds(work, repeats):.1f}")
        work = partial(cloned, face, frame, mask)
        rows.setdefault("seamless", []).append(f"{milliseconds(work, repeats):.1f}")
        whole = partial(cloned, face, frame, np.ones_like(mask))
        rows.setdefault("seamless, whole square", []).append(f"{milliseconds(whole, repeats):.1f}")
        eight = partial(opencv_clone, face, frame, mask)
        rows.setdefault("OpenCV's, 8 bit", []).append(f"{milliseconds(eight, repeats):.1f}")
    for name, cells in rows.items():
        print(f"{name:28}" + "".join(f"{cell:>16}" for cell in cells))


def milliseconds(work: Callable[[], Any], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append((time.process_time() - start) * 1e3)
    return statistics.median(times)


def opencv_clone(face: np.ndarray, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    solid = np.where(mask >= 0.1, 255, 0).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(solid)
    own, other = ((picture * 255).astype(np.uint8) for picture in (face, frame))
    middle = (x + width // 2, y + height // 2)
    return cv2.seamlessClone(own, other, solid, middle, cv2.NORMAL_CLONE)


def noise(seed: int, size: int) -> np.ndarray:
    """(size, size, 3) float32 about a skin colour."""
    values = np.random.default_rng(seed).normal(0, 1, (size, size, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(values, (0, 0), size / 32)
    return np.clip(soft / soft.std() * 0.08 + np.array([0.5, 0.4, 0.35], np.float32), 0, 1)


def oval(size: int) -> np.ndarray:
    mask = np.zeros((size, size), np.float32)
    cv2.ellipse(mask, (size // 2, size // 2), (size // 3, size * 2 // 5), 0, 0, 360, (1.0,), -1)
    return cv2.GaussianBlur(mask, (0, 0), size / 100)


def scores(footage: Path, step: int, sheet: Path) -> None:
    """Prints mean PSNR and writes the picture of the middle frame."""
    totals: dict[str, list[float]] = {name: [] for name in METHODS}
    shots = list(relit(footage, step))
    tiles: list[np.ndarray] = []
    for number, (face, frame, truth, mask) in enumerate(shots):
        region = mask > 0.5
        alpha = cv2.GaussianBlur(cv2.erode(mask, np.ones((7, 7), np.uint8)), (0, 0), 3)[..., None]
        if number == len(shots) // 2:
            named = (("face, relit", face), ("frame", frame), ("truth", truth))
            tiles += [tile(picture, name) for name, picture in named]
        for name, method in METHODS.items():
            made = np.clip(method(face, frame, mask), 0, 1)
            totals[name].append(float(-10 * np.log10(np.mean((made - truth)[region] ** 2))))
            if number == len(shots) // 2:
                text = f"{name} {totals[name][-1]:.1f}"
                tiles.append(tile(frame * (1 - alpha) + made * alpha, text))
    print(f"PSNR in the face, {len(shots)} frames, dB")
    for name, values in totals.items():
        print(f"{name:28}{statistics.mean(values):16.1f}")
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    rows = [np.concatenate(tiles[i : i + COLUMNS], 1) for i in range(0, len(tiles), COLUMNS)]
    sheet.parent.mkdir(parents=True, exist_ok=True)
    write_image(sheet, np.concatenate(rows))
    print(sheet)


def relit(footage: Path, step: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Squares of every `step`-th frame: truth under another light, frame, truth, mask."""
    frames = json.loads((footage / "ben_dst_landmarks.json").read_text())["frames"]
    with (
        zipfile.ZipFile(footage / "ben_dst_facemask.zip") as masks,
        open_source(footage / "ben_dst.mp4") as clip,
        open_source(footage / "ada_as_ben_truth.mp4") as truths,
    ):
        for frame, truth in zip(clip, truths, strict=True):
            if frame.index % step:
                continue
            points = np.array(frames[frame.index]["points"], np.float32)
            matrix = align_matrix(points, FaceType.WHOLE_FACE, SIZE)
            data = np.frombuffer(masks.read(f"{frame.index:04d}.png"), np.uint8)
            mask = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
            assert mask is not None, f"mask {frame.index} is unreadable"
            pictures = (frame.image, truth.image, mask.astype(np.float32) / 255)
            own, answer, shown = (
                np.clip(warp_image(p, matrix, SIZE, SIZE, border=cv2.BORDER_REPLICATE), 0, 1)
                for p in pictures
            )
            yield other_light(answer), own, answer, shown


def other_light(picture: np.ndarray) -> np.ndarray:
    """Flatter, bluer, and from the right."""
    ramp = np.linspace(0.7, 1.4, picture.shape[1], dtype=np.float32)[None, :, None]
    tint = np.array([0.95, 1.02, 1.14], np.float32)
    return np.clip(picture ** np.float32(0.8) * ramp * tint, 0, 1)


def tile(picture: np.ndarray, text: str) -> np.ndarray:
    shown = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    for color, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        place, font = (6, 18), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(shown, text, place, font, 0.5, color, width, cv2.LINE_AA)
    return shown


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Cost and accuracy of the colour stages")
    parser.add_argument("footage", nargs="?", type=Path, default=FOOTAGE)
    parser.add_argument("--sheet", type=Path, default=Path("build/color.png"))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--step", type=int, default=20, help="frames from one score to the next")
    return parser.parse_args()


if __name__ == "__main__":
    main()
