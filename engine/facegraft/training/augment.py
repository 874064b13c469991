"""One side's batch of squares augmented on the training device, all of it a function of a key.

What is drawn depends on (seed, side, draw) alone, for the whole batch also where one of several
processes augments only its part; and each kind of change draws from its own stream, so that
switching one on leaves the others as they were.
"""

from torch import Generator, Tensor

from facegraft.training.color_augment import blur_out, draw_hsv, shift_hsv
from facegraft.training.color_transfer import draw_axes, transfer_color
from facegraft.training.kinds import ColorTransfer
from facegraft.training.sampling import Part, part_rows, random_seed
from facegraft.training.warp import (
    Amounts,
    Augmentation,
    Augmented,
    apply_augmentation,
    draw_augmentation,
    to_pictures,
)


def augment_batch(
    faces: Tensor,
    resolution: int,
    amounts: Amounts,
    seed: int,
    side: str,
    draw: int,
    references: Tensor | None = None,
    batch_size: int | None = None,
    part: Part = (0, 1),
) -> Augmented:
    """`faces` (N, S, S, 5) uint8 on the device: rows `part` of batch `draw`, of `batch_size` faces.

    `references` (N, R, R, 5) uint8 on the device are needed for a colour transfer, which comes
    first, so that input and target get the same colours. HSV changes the input alone, and blurring
    out the target alone.
    """
    size = batch_size or len(faces)
    rows = part_rows(size, part)

    def stream(kind: str) -> Generator:
        return Generator().manual_seed(random_seed(seed, side, kind, draw))

    pictures = to_pictures(faces)
    if amounts.color_transfer is not ColorTransfer.NONE:
        if references is None:
            raise ValueError(f"{amounts.color_transfer} needs reference faces of the other side")
        others = to_pictures(references)
        pictures[:, :3] = transfer_color(
            amounts.color_transfer,
            pictures[:, :3], pictures[:, 3:4], others[:, :3], others[:, 3:4],
            draw_axes(amounts.color_transfer, stream("axes")),
        )  # fmt: skip
    drawn = draw_augmentation(size, amounts, stream("augment"))
    nodes = None if drawn.nodes is None else drawn.nodes[rows]
    made = apply_augmentation(pictures, resolution, Augmentation(drawn.to_square[rows], nodes))
    if amounts.hsv_power:
        shifts = draw_hsv(size, amounts.hsv_power, stream("hsv"))[rows]
        made = made._replace(warped=shift_hsv(made.warped, shifts))
    if amounts.blur_out:
        made = made._replace(target=blur_out(made.target, made.mask))
    return made
