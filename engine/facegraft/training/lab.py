"""CIE Lab of a batch of pictures and back, by the formulas of CIE 15 and IEC 61966-2-1.

Pictures are (N, 3, H, W) float32: sRGB 0..1 on one side, L 0..100 with a and b about -127..127 on
the other, over the white point D65. Exact curves, where OpenCV looks its own up in a coarse table.
"""

import torch
from torch import Tensor

# linear sRGB to CIE XYZ over the white point D65, as OpenCV has it
_TO_XYZ = torch.tensor(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ],
    dtype=torch.float64,
) / torch.tensor([[0.950456], [1.0], [1.088754]], dtype=torch.float64)
_FROM_XYZ = torch.linalg.inv(_TO_XYZ)
_LAB_LINEAR = 0.008856  # below this the cube root is a line
_LAB_SLOPE, _LAB_OFFSET = 7.787, 16 / 116


def rgb_to_lab(pictures: Tensor) -> Tensor:
    """CIE Lab (L 0..100) of sRGB 0..1, white point D65."""
    light = torch.where(
        pictures <= 0.04045, pictures / 12.92, ((pictures + 0.055) / 1.055).clamp_min(0) ** 2.4
    )
    x, y, z = _mix(_TO_XYZ, light).unbind(dim=1)
    x, y, z = (
        torch.where(
            v > _LAB_LINEAR, v.clamp_min(_LAB_LINEAR) ** (1 / 3), v * _LAB_SLOPE + _LAB_OFFSET
        )
        for v in (x, y, z)
    )
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """sRGB 0..1, clipped to its gamut, of CIE Lab."""
    y = (lab[:, 0] + 16) / 116
    roots = torch.stack([lab[:, 1] / 500 + y, y, y - lab[:, 2] / 200], dim=1)
    xyz = torch.where(roots**3 > _LAB_LINEAR, roots**3, (roots - _LAB_OFFSET) / _LAB_SLOPE)
    light = _mix(_FROM_XYZ, xyz).clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _mix(matrix: Tensor, pictures: Tensor) -> Tensor:
    return (matrix.to(pictures) @ pictures.flatten(2)).view_as(pictures)
