"""One shot, keyed in Blender, rendered by Blender, the command line and MLT: a sheet to look at.

    python benchmarks/hosts_sheet.py --model M.dfm [--clip CLIP] [--first 30] [--length 24]
                                     [--rows 6] [--work FOLDER] [--out sheet.png]

Cuts the frames out of the clip as PNG, since each program turns a movie's YUV into RGB in its own
way, finds the faces, keys a node in Blender, exports the keyframes, and renders them three times.
A row of the sheet is a frame: the three pictures around the face, and the largest difference
between any two of them, 50 times as bright. Prints the largest difference of each frame in 8-bit
codes. Needs what the tests of both hosts need: .venv-blender, a C compiler, MLT from Debian.
"""

import argparse
import math
import shutil
import sys
import tempfile
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "install")]

import build_ofx_bundle  # noqa: E402  # pyright: ignore[reportMissingImports]
from tests.e2e.three_hosts import HOSTS, Pictures, difference, render_everywhere  # noqa: E402
from tests.host_plugin import run_blender  # noqa: E402
from tests.host_plugin.shots import Shot  # noqa: E402
from tests.host_plugin_ofx.mlt_run import Mlt  # noqa: E402

from facegraft.extract import ExtractParams, extract_faces  # noqa: E402
from facegraft.faces.detect import FaceDetector  # noqa: E402
from facegraft.faces.faceset import Faceset  # noqa: E402
from facegraft.media.images import write_image  # noqa: E402
from facegraft.media.open import open_source  # noqa: E402
from facegraft.merge.animation import Animation, load_animation  # noqa: E402

FOOTAGE = Path(__file__).parent.parent.parent / "shared" / "footage"
CELL = 200  # px, side of a picture; a line of text stands above each row
TEXT = 18
GAIN = 50  # of the differences
VIEW = 2.0  # side of what is shown, in sizes of the face
HOLDING = ("Mode", "Mask mode", "Transfer mode")
EDITS = [
    *(f"[setattr(p, 'interpolation', 'CONSTANT') for p in curve('{name}').keyframe_points]"
      for name in HOLDING),
    "[setattr(p, 'interpolation', 'BEZIER') for p in curve('Mix').keyframe_points[:2]]",
    "[setattr(p, 'interpolation', 'BEZIER') for p in curve('Blur').keyframe_points]",
]  # fmt: skip


def node(length: int) -> dict:
    """Values and keys of the node, over `length` frames from Blender's frame 1 on."""

    def at(share: float) -> int:
        return 1 + round(share * (length - 1))

    return {
        "params": {"Grain match": 1.0, "Light match": 0.4},
        "keys": {
            "Mix": [[at(0), 0.0], [at(0.3), 1.0], [at(0.7), 0.7], [at(1), 1.0]],
            "Erode": [[at(0.1), -20.0], [at(0.8), 50.0]],
            "Blur": [[at(0), 20.0], [at(0.5), 120.0], [at(1), 60.0]],
            "Face scale": [[at(0.2), 0.0], [at(1), 8.0]],
            "Mode": [[at(0), 1], [at(0.4), 3], [at(0.7), 2]],  # overlay, seamless, hist match
            "Mask mode": [[at(0), 4], [at(0.5), 1], [at(0.8), 2]],  # product, hull, prd
            "Transfer mode": [[at(0), 1], [at(0.6), 3]],  # rct, mkl
        },
    }


def main() -> None:
    args = arguments()
    folder = Path(tempfile.mkdtemp(prefix="hosts-")) if args.work is None else args.work
    shutil.rmtree(folder, ignore_errors=True)
    shot = cut_shot(args.clip, args.first, args.length, args.model, folder)
    pictures = render(shot, folder)
    animation = load_animation(folder / "keys.json")
    worst = [largest(pictures, index).max() for index in range(args.length)]
    for index, codes in enumerate(worst):
        print(f"frame {index:3}: {codes} codes  {about(animation, index)}")
    for one, other in combinations(HOSTS, 2):
        off = [difference(a, b) for a, b in zip(pictures[one], pictures[other], strict=True)]
        changed = np.mean([(o > 0).mean() for o in off])
        print(
            f"{one} and {other}: at most {max(o.max() for o in off)} of 255, {changed:.3%} differ"
        )
    places = args.length - 1, max(args.rows - 1, 1)
    rows = [round(i * places[0] / places[1]) for i in range(args.rows)]
    sheet = draw(shot, pictures, animation, rows)
    write_image(args.out, sheet)
    print(f"{args.out}: {sheet.shape[1]}x{sheet.shape[0]}")
    if args.work is None:
        shutil.rmtree(folder)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clip", type=Path, default=FOOTAGE / "ben_dst.mp4")
    parser.add_argument("--first", type=int, default=30, help="frame of the clip")
    parser.add_argument("--length", type=int, default=24, help="frames")
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--work", type=Path, help="folder to make anew and to keep")
    parser.add_argument("--out", type=Path, default=Path("build/look/hosts.png"))
    return parser.parse_args()


def cut_shot(clip: Path, first: int, length: int, model: Path, folder: Path) -> Shot:
    """The frames as PNG of 8 bits, and their faces."""
    folder.mkdir(parents=True)
    with open_source(clip) as source:
        frames = [source[first + i].image_u8 for i in range(length)]
    for number, frame in enumerate(frames, 1):
        write_image(folder / f"src_{number:04d}.png", frame)
    faces = folder / "faces"
    with open_source(folder / "src_####.png") as plates:
        extract_faces(plates, faces, ExtractParams(), FaceDetector())
    return Shot(folder, frames, faces, model.absolute())


def render(shot: Shot, folder: Path) -> dict[str, Pictures]:
    bpy_python = run_blender.find_bpy()
    if bpy_python is None:
        raise SystemExit("no bpy environment; run python3 install/install.py blender")
    with tempfile.TemporaryDirectory() as name:
        tools = Path(name)
        extension = run_blender.build_extension(tools)
        blender = run_blender.start(bpy_python, extension, tools / "profile")
        compiler = build_ofx_bundle.find_compiler()
        bundle = build_ofx_bundle.build(tools / "bundle", compiler)
        (tools / "mlt").mkdir()
        mlt = Mlt(tools / "mlt", compiler, bundle)
        pictures = render_everywhere(shot, blender, mlt, node(len(shot.frames)), EDITS)
    for number, picture in enumerate(pictures["MLT"], 1):  # the others' lie there already
        write_image(folder / f"mlt_{number:04d}.png", picture)
    return pictures


def largest(pictures: dict[str, Pictures], index: int) -> np.ndarray:
    """(H, W) the largest difference of a frame between any two hosts, in codes."""
    pairs = combinations(HOSTS, 2)
    return np.max([difference(pictures[a][index], pictures[b][index]) for a, b in pairs], axis=0)


def about(animation: Animation, index: int) -> str:
    values = animation.at(index)
    return (
        f"mix {values.mix:.2f}  {values.mode.value}  {values.mask_mode.value}  "
        f"{values.color_transfer.value}  erode {values.erode:.0f}  blur {values.blur:.0f}  "
        f"scale {values.face_scale:+.1f}"
    )


def draw(
    shot: Shot, pictures: dict[str, Pictures], animation: Animation, rows: list[int]
) -> np.ndarray:
    """(H, W, 3) uint8."""
    faces = Faceset.open(shot.faces).by_frame_index()
    titles = [*HOSTS, f"largest difference x{GAIN}"]
    sheet = [banner(titles)]
    for index in rows:
        view = view_of(shot.frames[index], [a.landmarks for a in faces.get(index, [])])
        cells = [cut(pictures[host][index], view) for host in HOSTS]
        off = np.clip(largest(pictures, index) * GAIN, 0, 255).astype(np.uint8)
        side = math.ceil((view[2] - view[0]) / CELL)
        off = cv2.dilate(off, np.ones((side, side)))  # else single pixels would be lost
        sheet.append(banner([f"frame {index}: {about(animation, index)}"]))
        sheet.append(np.concatenate([*cells, cut(np.dstack([off] * 3), view)], axis=1))
    return np.concatenate(sheet)


def view_of(frame: np.ndarray, landmarks: list[np.ndarray]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the square around the first face; without one, all of the frame."""
    height, width = frame.shape[:2]
    if not landmarks:
        return 0, 0, width, height
    low, high = landmarks[0].min(axis=0), landmarks[0].max(axis=0)
    half = min(VIEW * (high - low).max(), width, height) / 2
    x, y = np.clip((low + high) / 2, half, (width - half, height - half))
    return round(x - half), round(y - half), round(x + half), round(y + half)


def cut(image: np.ndarray, view: tuple[int, int, int, int]) -> np.ndarray:
    x0, y0, x1, y1 = view
    part = np.ascontiguousarray(image[y0:y1, x0:x1])
    return cv2.resize(part, (CELL, CELL), interpolation=cv2.INTER_AREA)


def banner(texts: list[str]) -> np.ndarray:
    drawn = np.full((TEXT, 4 * CELL, 3), 48, np.uint8)
    for column, text in enumerate(texts):
        cv2.putText(
            drawn, text, (4 + column * CELL, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42,
            (255, 255, 255), 1, cv2.LINE_AA,
        )  # fmt: skip
    return drawn


if __name__ == "__main__":
    main()
