"""Sharpening and softening of the face.

Takes and gives the face's square, (h, w, 3) float32 RGB. The kernel is 3 px of that square, which
has the model's resolution (times the enhancer's factor), never the frame's: the same setting looks
the same on a proxy and on the full frame. Amounts mean what they mean in DeepFaceLab (its
`blursharpen`, kernel 3), but in float, so that values outside 0..1 stay, and on the face alone.
"""

import cv2
import numpy as np

from facegraft.merge.params import Sharpen

_KERNEL_PX = 3
_MEDIAN_PX = 5  # the largest that OpenCV computes in float
_AMOUNT_PER_ROUND = 10.0  # softening by 100 is ten medians


def sharpen(image: np.ndarray, mode: Sharpen, amount: float) -> np.ndarray:
    """`image` plus `amount` times what a 3x3 blur takes away; a negative amount softens.

    image: (h, w, 3) float32, any range; the result has the same. amount: -100..100. With x the
    image, box gives x + amount (x - mean(x)), gaussian x + amount / 2 (x - gauss(x)). Softening is
    the same in both: a 5x5 median for every ten, what is left over blended in.
    """
    if mode is Sharpen.NONE or amount == 0:
        return image
    if amount < 0:
        return median_rounds(image, -amount / _AMOUNT_PER_ROUND)
    kernel = (_KERNEL_PX, _KERNEL_PX)
    if mode is Sharpen.BOX:
        blurred, strength = cv2.blur(image, kernel), float(amount)
    else:
        blurred, strength = cv2.GaussianBlur(image, kernel, 0), amount / 2
    return cv2.addWeighted(image, 1 + strength, blurred, -strength, 0)


def median_rounds(image: np.ndarray, rounds: float) -> np.ndarray:
    """`image` (h, w, 3) float32 through that many 5x5 medians, channel by channel.

    A fraction of a round is blended: 1.25 is one median, and a quarter of the way to the second.
    """
    whole = int(rounds)
    for _ in range(whole):
        image = cv2.medianBlur(image, _MEDIAN_PX)
    part = rounds - whole
    if part > 0:
        image = cv2.addWeighted(image, 1 - part, cv2.medianBlur(image, _MEDIAN_PX), part, 0)
    return image
