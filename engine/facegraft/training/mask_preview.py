"""The preview sheet of a mask network: picture, label and prediction of up to eight fixed faces.

Label and prediction lie green over the picture, and where they disagree the prediction's tile is
red (label only) or blue (prediction only); beside each prediction stands its overlap in percent.
"""

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from facegraft.training.mask_augment import plain_labelled

COLUMNS = ("picture", "label", "prediction")
ROWS = 4
_CELL = (128, 256)  # px; small networks are enlarged to be seen
_HEAD = 26  # px, height of a title line
_PAPER, _INK = 24, (220, 220, 220)  # RGB
_FACE, _MISSED, _TOO_MUCH = (40, 220, 90), (235, 50, 50), (70, 110, 255)  # RGB
_TINT = 0.4  # of a colour over the picture


@torch.no_grad()
def mask_sheet(net: nn.Module, squares: Tensor, autocast: torch.dtype | None) -> np.ndarray:
    """(H, W, 3) uint8 RGB of `squares` (N, R, R, 5) uint8 as `mask_samples` makes them, on the
    network's device.
    """
    batch = plain_labelled(squares)
    with torch.autocast(squares.device.type, autocast, enabled=autocast is not None):
        said = net(batch.picture).float().sigmoid()
    pictures = squares[..., :3].cpu().numpy().astype(np.float32)  # 0..255
    labels = (batch.face * batch.known)[:, 0].cpu().numpy()
    masks = said[:, 0].cpu().numpy()
    known = batch.known[:, 0].cpu().numpy()
    cells = [_cells(*row) for row in zip(pictures, labels, masks, known, strict=True)]
    width = len(cells[0])
    blank = [np.full_like(cells[0][0], _PAPER)] * width
    blocks = []
    for start in range(0, len(cells), ROWS):
        rows = cells[start : start + ROWS]
        rows += [blank] * (min(ROWS, len(cells)) - len(rows))
        block = np.concatenate([np.concatenate(row, axis=1) for row in rows])
        blocks.append(np.concatenate([_titles(block.shape[1]), block]))
    return np.concatenate(blocks, axis=1)


def _cells(
    picture: np.ndarray, label: np.ndarray, mask: np.ndarray, known: np.ndarray
) -> list[np.ndarray]:
    said, right = (mask > 0.5) & (known > 0.5), label > 0.5
    missed, too_much = right & ~said, said & ~right
    either = int((said | right).sum())
    share = 100 * int((said & right).sum()) / either if either else 100
    shown = [
        picture,
        _tinted(picture, [(right, _FACE)]),
        _tinted(picture, [(said & right, _FACE), (missed, _MISSED), (too_much, _TOO_MUCH)]),
    ]
    cells = [_resized(image) for image in shown]
    cv2.putText(
        cells[2], f"{share:.0f} %", (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA
    )
    return cells


def _tinted(
    picture: np.ndarray, parts: list[tuple[np.ndarray, tuple[int, int, int]]]
) -> np.ndarray:
    image = picture.copy()
    for where, color in parts:
        image[where] = image[where] * (1 - _TINT) + np.array(color, np.float32) * _TINT
    return image


def _resized(image: np.ndarray) -> np.ndarray:
    cell = min(max(len(image), _CELL[0]), _CELL[1])
    how = cv2.INTER_CUBIC if len(image) < cell else cv2.INTER_AREA
    resized = cv2.resize(image, (cell, cell), interpolation=how)
    return np.rint(resized).clip(0, 255).astype(np.uint8)


def _titles(width: int) -> np.ndarray:
    head = np.full((_HEAD, width, 3), _PAPER, np.uint8)
    for i, title in enumerate(COLUMNS):
        at = (i * width // len(COLUMNS) + 4, 18)
        cv2.putText(head, title, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    return head
