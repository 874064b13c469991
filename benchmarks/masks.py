"""How well a mask network learns what is in front of a face, from a few labels, on this machine.

    python benchmarks/masks.py [FOOTAGE] [--labels 10] [--iterations 900] [--work FOLDER]
                               [--faces FACESET] [--model MODEL.dfm]

On ben_dst a hand crosses the lower face near the end. The faces are extracted, a few of them get
the rendered truth as their label, half of these with the hand, a network is trained on them, and
masks of all frames are computed and compared with the truth in the aligned square: intersection
over union of every frame, over all, over those with the hand, and over both without the labelled
ones. With --model the frames are merged with mask mode xseg_dst, and the sheet shows that the hand
stays in front; how much the merge changes the hand's own pixels is printed. `masks.png` shows
picture, truth and computed mask. Without FOOTAGE the benchmark says so and ends.
"""

import argparse
import json
import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from facegraft.controls import parse_values
from facegraft.extract import ExtractParams, extract_faces
from facegraft.faces.align import warp_image
from facegraft.faces.detect import FaceDetector
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset, read_image, read_mask, rewritten
from facegraft.faces.landmarks import hull_mask
from facegraft.files import write_atomic
from facegraft.inference import SwapModel
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from facegraft.merge.extras import FrameExtras
from facegraft.merge.frame import merge_frame
from facegraft.merge.params import MaskMode, MergeParams
from facegraft.model_spec import FaceType
from facegraft.progress import Progress
from facegraft.segment import Segmenter
from facegraft.sets.masks import apply_masks
from facegraft.training.mask_export import export_mask_run
from facegraft.training.mask_loop import train_masks
from facegraft.training.mask_params import MaskTrainParams
from facegraft_cli.report import terminal_progress

FOOTAGE = Path(__file__).parent.parent.parent / "shared" / "footage"
FILES = ("ben_dst.mp4", "ben_dst_facemask.zip", "ben_dst_landmarks.json")
SHOWN = 8  # frames of the sheets, most with the hand
GOALS = {"all": 0.93, "with the hand": 0.90}
CORE = 9  # px by which the hand's region is shrunk before its change is measured: edges blend


def main() -> None:
    args = arguments()
    missing = [name for name in FILES if not (args.footage / name).exists()]
    if missing:
        print(f"skipped: {args.footage} lacks {', '.join(missing)}")
        return
    masks = zipfile.ZipFile(args.footage / "ben_dst_facemask.zip")
    hidden = hidden_frames(args.footage)
    with terminal_progress() as progress:
        faces = all_faces(args, progress)
        labelled = label_some(faces, masks, hidden, args.labels, args.work / "labelled")
        params = parse_values(
            MaskTrainParams,
            {
                "target_iterations": args.iterations,
                "resolution": args.resolution,
                "precision": args.precision,
                "threads": args.threads,
            },
        )
        run = args.work / "run"
        began = time.monotonic()
        result = train_masks([Faceset.open(args.work / "labelled")], run, params, progress)
        minutes = (time.monotonic() - began) / 60
        path = args.work / "masks.onnx"
        exported = export_mask_run(run, path, progress.note)
        segmenter = Segmenter.open(path)
        began = time.monotonic()
        apply_masks(faces, segmenter, "benchmark", progress, replace_drawn=True)
        applied = time.monotonic() - began
    print(
        f"{len(labelled)} labels ({sum(i in hidden for i in labelled)} with the hand), "
        f"{result.session_iterations} iterations of {args.resolution} px in {minutes:.1f} min, "
        f"{applied / len(faces) * 1000:.0f} ms a face applied, export parity "
        f"{exported.difference:.1e}"
    )
    faces = Faceset.open(faces.folder)
    scores = {face.origin.frame_index: overlap(face, masks) for face in faces}
    report(scores, hidden, labelled)
    write_image(args.work / "masks.png", sheet(faces, masks, hidden))
    if args.model is not None:
        show_merge(args, faces, masks, hidden, SwapModel.open(args.model), segmenter)


def hidden_frames(footage: Path) -> set[int]:
    """Frames in which an object covers a landmark."""
    frames = json.loads((footage / "ben_dst_landmarks.json").read_text())["frames"]
    return {frame["frame"] for frame in frames if any(frame["occluded_by_object"])}


def all_faces(args: argparse.Namespace, progress: Progress) -> Faceset:
    """Every frame's face, in a folder of the benchmark's own."""
    folder = args.work / "faces"
    if not folder.exists() and args.faces is not None:
        shutil.copytree(args.faces, folder, ignore=shutil.ignore_patterns("_*", ".*"))
    elif not folder.exists():
        params = ExtractParams(face_type=FaceType.WHOLE_FACE, image_size=320, max_faces=1)
        with open_source(args.footage / "ben_dst.mp4") as source:
            extract_faces(source, folder, params, FaceDetector(threads=1), progress)
    return Faceset.open(folder)


def label_some(
    faces: Faceset, masks: zipfile.ZipFile, hidden: set[int], count: int, folder: Path
) -> set[int]:
    """Faces with the truth as their label into `folder`; the frames they are of."""
    frames = [face.origin.frame_index for face in faces]
    clear, covered = (
        [i for i in frames if (i in hidden) is with_hand] for with_hand in (False, True)
    )
    chosen = {
        *spread(clear, count - count // 2),
        *spread(covered, count // 2),
    }
    shutil.rmtree(folder, ignore_errors=True)  # the benchmark's own
    for face in faces:
        if face.origin.frame_index in chosen:
            data = rewritten(replace(face, mask_by=""), truth_of(face, masks))
            write_atomic(folder / face.path.name, data)
    return chosen


def spread(frames: list[int], count: int) -> list[int]:
    """The middles of `count` equal parts."""
    return [frames[int((k + 0.5) * len(frames) / count)] for k in range(count)]


def truth_of(face: AlignedFace, masks: zipfile.ZipFile) -> np.ndarray:
    """(S, S) uint8: the rendered mask of the face's frame, in its square."""
    data = np.frombuffer(masks.read(f"{face.origin.frame_index:04d}.png"), np.uint8)
    frame = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert frame is not None, f"mask {face.origin.frame_index} is unreadable"
    return warp_image(frame, face.frame_to_aligned, face.size, face.size, cv2.INTER_LINEAR)


def computed_of(face: AlignedFace) -> np.ndarray:
    mask = read_mask(face)
    assert mask is not None, f"{face.path.name} has no mask"
    return cv2.resize(mask, (face.size, face.size), interpolation=cv2.INTER_LINEAR)


def overlap(face: AlignedFace, masks: zipfile.ZipFile) -> float:
    """Intersection over union with the truth, in the stored square."""
    said, right = computed_of(face) > 127, truth_of(face, masks) > 127
    return float((said & right).sum() / max(1, (said | right).sum()))


def report(scores: dict[int, float], hidden: set[int], labelled: set[int]) -> None:
    for title, frames in (
        ("all", set(scores)),
        ("with the hand", hidden & set(scores)),
        ("all but the labelled", set(scores) - labelled),
        ("with the hand but the labelled", (hidden & set(scores)) - labelled),
    ):
        values = [scores[i] for i in sorted(frames)]
        if not values:
            continue
        goal = GOALS.get(title)
        said = (
            f", goal {goal:g}: {'reached' if np.mean(values) > goal else 'MISSED'}" if goal else ""
        )
        print(
            f"frames {title}: {len(values)}, mean IoU {np.mean(values):.4f}, lowest "
            f"{np.min(values):.4f}{said}"
        )


def sheet(faces: Faceset, masks: zipfile.ZipFile, hidden: set[int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB: picture, truth, computed mask; red is missing, blue too much."""
    columns = []
    for face in shown_faces(faces, hidden):
        picture = read_image(face).astype(np.float32)
        right, said = truth_of(face, masks) > 127, computed_of(face) > 127
        truth, mask = picture.copy(), picture.copy()
        tint(truth, right, (40, 220, 90))
        tint(mask, said & right, (40, 220, 90))
        tint(mask, right & ~said, (235, 50, 50))
        tint(mask, said & ~right, (70, 110, 255))
        columns.append(np.concatenate([picture, truth, mask]))
    return np.rint(np.concatenate(columns, axis=1)).clip(0, 255).astype(np.uint8)


def tint(picture: np.ndarray, where: np.ndarray, color: tuple[int, int, int]) -> None:
    picture[where] = picture[where] * 0.6 + np.array(color, np.float32) * 0.4


def shown_faces(faces: Faceset, hidden: set[int]) -> list[AlignedFace]:
    covered = [face for face in faces if face.origin.frame_index in hidden]
    clear = [face for face in faces if face.origin.frame_index not in hidden]
    return [clear[0], clear[len(clear) // 2], *covered[:: max(1, len(covered) // (SHOWN - 2))]][
        :SHOWN
    ]


def show_merge(
    args: argparse.Namespace,
    faces: Faceset,
    masks: zipfile.ZipFile,
    hidden: set[int],
    model: SwapModel,
    segmenter: Segmenter,
) -> None:
    """Merge the frames with the hand by the learned mask alone and with the segmenter's."""
    wanted = {face.origin.frame_index: face for face in shown_faces(faces, hidden)}
    modes = (MaskMode.LEARNED_PRD, MaskMode.XSEG_DST)
    changes: dict[MaskMode, list[float]] = {mode: [] for mode in modes}
    columns = []
    with open_source(args.footage / "ben_dst.mp4") as clip:
        for frame in clip:
            face = wanted.get(frame.index)
            if face is None:
                continue
            pictures = [frame.image]
            hand = hand_of(face, masks, frame.image.shape[:2]) if frame.index in hidden else None
            for mode in modes:
                params = MergeParams(mask_mode=mode, blur=40.0)
                merged = merge_frame(
                    frame.image, [face.face], model, params, FrameExtras(segmenter=segmenter)
                )
                pictures.append(np.clip(merged.result, 0, 1))
                if hand is not None and hand.any():
                    changes[mode].append(float(np.abs(merged.result - frame.image)[hand].mean()))
            columns.append(np.concatenate(pictures))
    pixels = np.rint(np.concatenate(columns, axis=1) * 255).astype(np.uint8)
    write_image(args.work / "merged.png", pixels)
    for mode, values in changes.items():
        if values:
            print(
                f"{mode}: the hand's pixels change by {255 * np.mean(values):.2f} of 255 on average"
            )


def hand_of(face: AlignedFace, masks: zipfile.ZipFile, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: inside the face's outline, where the truth says that it is not seen."""
    data = np.frombuffer(masks.read(f"{face.origin.frame_index:04d}.png"), np.uint8)
    visible = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert visible is not None
    hull = hull_mask(face.landmarks, shape[1], shape[0], 0.0) > 0.5
    covered = (hull & (visible < 128)).astype(np.uint8)
    return cv2.erode(covered, np.ones((CORE, CORE), np.uint8)) > 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("footage", nargs="?", type=Path, default=FOOTAGE)
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=900)
    parser.add_argument("--resolution", type=int, default=192)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("build/masks"))
    parser.add_argument("--faces", type=Path, help="a faceset of ben_dst, to extract nothing")
    parser.add_argument("--model", type=Path, help="a .dfm, to merge the frames with the hand")
    return parser.parse_args()


if __name__ == "__main__":
    main()
