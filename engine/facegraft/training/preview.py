"""The preview sheet: what the networks make of four fixed faces of each side.

RUN/preview.png is the last one; RUN/history/ITERATION.jpg are those kept for a look back.

Columns: src, src rebuilt, dst, dst rebuilt, dst with src's face; on the right the same under the
masks. Rows go from faces turned to one side to faces turned to the other.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from facegraft.faces.face import AlignedFace
from facegraft.files import write_atomic
from facegraft.media.images import write_image
from facegraft.models.build import SwapNet

PREVIEW_NAME = "preview.png"
HISTORY_FOLDER = "history"
HISTORY_SUFFIX = ".jpg"  # a tenth of the PNG's size, for thousands of sheets
GOLDEN = 0.382  # share of the circle by which neighbours of a long walk stay far apart
ROWS = 4
COLUMNS = ("src", "src rebuilt", "dst", "dst rebuilt", "swap")
_CELL = (128, 256)  # px; smaller models are enlarged to be seen, larger ones shrunk to fit
_LABEL = 26  # px, height of a title line
_GAP = 12  # px between the two blocks
_PAPER, _INK = 24, (220, 220, 220)  # RGB


def choose_faces(faces: Sequence[AlignedFace], count: int = ROWS, number: int = 0) -> list[int]:
    """Numbers of `count` faces (fewer in a small set) spread over the set's head turns.

    Preview `number` 0 is the fixed one, by which sheets compare over time; 1, 2, ... show others,
    each face of the set in its turn.
    """
    by_yaw = sorted(range(len(faces)), key=lambda i: (faces[i].pose.yaw, i))
    count = min(count, len(faces))
    chosen = []
    for k in range(count):
        first, end = k * len(faces) // count, (k + 1) * len(faces) // count
        middle = int((k + 0.5) * len(faces) / count)
        chosen.append(
            by_yaw[first + (middle - first + number * _stride(end - first)) % (end - first)]
        )
    return chosen


def _stride(size: int) -> int:
    """A step that goes round `size` places without missing one, each far from the one before."""
    step = max(1, round(size * GOLDEN))
    while math.gcd(step, size) > 1:
        step += 1
    return step


@torch.no_grad()
def preview_sheet(
    net: SwapNet, src: Tensor, dst: Tensor, autocast: torch.dtype | None
) -> np.ndarray:
    """(H, W, 3) uint8 RGB. `src`, `dst`: (N, S, S, 5) uint8 with S the model's resolution, RGB,
    face mask, eyes and mouth, on the networks' device; `autocast` is the training's reduced
    precision, if any.
    """
    src_rgb, src_mask = _float(src)
    dst_rgb, dst_mask = _float(dst)
    with torch.autocast(src.device.type, autocast, enabled=autocast is not None):
        rebuilt = net.reconstruct(src_rgb, dst_rgb)
        swap = net.swap(dst_rgb)
    images = [src_rgb, rebuilt.src_src, dst_rgb, rebuilt.dst_dst, swap.src_dst]
    masks = [
        src_mask,
        rebuilt.src_src_mask,
        dst_mask,
        rebuilt.dst_dst_mask,
        swap.src_dst_mask * swap.dst_dst_mask,  # as the merge's product mask
    ]
    masked = [image * mask for image, mask in zip(images, masks, strict=True)]
    block = _block([_pixels(i) for i in images], list(COLUMNS))
    twin = _block([_pixels(i) for i in masked], [f"{name}, masked" for name in COLUMNS])
    gap = np.full((block.shape[0], _GAP, 3), _PAPER, np.uint8)
    return np.concatenate([block, gap, twin], axis=1)


def _float(faces: Tensor) -> tuple[Tensor, Tensor]:
    picture = faces.permute(0, 3, 1, 2).float() / 255
    return picture[:, :3], picture[:, 3:4]


def _pixels(images: Tensor) -> np.ndarray:
    """(N, 3, R, R) 0..1 to (N, R, R, 3) uint8."""
    rounded = (images.float().clamp(0, 1) * 255).round().byte()
    return rounded.permute(0, 2, 3, 1).cpu().numpy()


def _block(columns: list[np.ndarray], titles: list[str]) -> np.ndarray:
    cell = min(max(columns[0].shape[1], _CELL[0]), _CELL[1])
    strips = []
    for images, title in zip(columns, titles, strict=True):
        head = np.full((_LABEL, cell, 3), _PAPER, np.uint8)
        cv2.putText(head, title, (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
        scale = cv2.INTER_CUBIC if images.shape[1] < cell else cv2.INTER_AREA
        cells = [cv2.resize(image, (cell, cell), interpolation=scale) for image in images]
        strips.append(np.concatenate([head, *cells]))
    return np.concatenate(strips, axis=1)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """(H, W, 3) uint8 RGB, atomically. Raises: WriteError."""
    encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
    write_atomic(path, encoded.tobytes())


def write_preview(run_folder: Path, iteration: int, sheet: np.ndarray, history: bool) -> None:
    """Show `sheet` (H, W, 3) uint8 RGB as the run's preview, and keep it if `history`.

    Raises: WriteError.
    """
    write_png(run_folder / PREVIEW_NAME, sheet)
    if history:
        write_image(run_folder / HISTORY_FOLDER / f"{iteration:08d}{HISTORY_SUFFIX}", sheet)
