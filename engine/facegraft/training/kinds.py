"""Choices that both the option table and the training's functions name. Torch-free."""

from enum import StrEnum


class ColorTransfer(StrEnum):
    """How src faces take the colours of dst faces, by DeepFaceLab's names."""

    NONE = "none"
    RCT = "rct"
    LCT = "lct"
    MKL = "mkl"
    IDT = "idt"
    SOT = "sot"
