"""Choices among training's methods, named by its options and by the modules that carry them out.

Torch-free, so that the option table and `facegraft train --help` can name them for nothing.
"""

from enum import StrEnum


class ColorTransfer(StrEnum):
    """How src faces are given the colours of dst faces; `color_transfer.py` holds the formulas."""

    NONE = "none"
    RCT = "rct"  # mean and spread of each Lab channel, Reinhard 2001
    LCT = "lct"  # mean and covariance, along the principal axes
    MKL = "mkl"  # mean and covariance, by the shortest way there, Pitie 2007
    IDT = "idt"  # the whole distribution, along random axes, Pitie 2005
    SOT = "sot"  # the whole distribution, sliced optimal transport
