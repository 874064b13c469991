"""CIE Lab of sRGB pictures (white D65, L 0..100), by OpenCV but for the curve of sRGB.

OpenCV takes that curve from a table that is off by up to 0.6 Lab units; here it is computed.
"""

import cv2
import numpy as np

_TOE = np.float32(0.04045)  # sRGB, IEC 61966-2-1: below it the curve is a line
_LIGHT_TOE = np.float32(0.0031308)
_LOW = np.array([0, -127, -127], np.float32)
_HIGH = np.array([100, 127, 127], np.float32)


def to_lab(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 Lab of (H, W, 3) float32 RGB, sRGB-coded 0..1."""
    light = np.power(image * np.float32(1 / 1.055) + np.float32(0.055 / 1.055), np.float32(2.4))
    np.copyto(light, image * np.float32(1 / 12.92), where=image <= _TOE)
    return cv2.cvtColor(light, cv2.COLOR_LRGB2Lab)


def from_lab(lab: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 RGB, sRGB-coded and clipped to 0..1, of Lab clipped to its usual range."""
    width = lab.shape[1]
    rows = lab.reshape(len(lab), -1)  # numpy broadcasts over three values ten times slower
    lab = np.clip(rows, np.tile(_LOW, width), np.tile(_HIGH, width)).reshape(lab.shape)
    light = cv2.cvtColor(lab, cv2.COLOR_Lab2LRGB)
    np.clip(light, 0, 1, out=light)
    image = np.float32(1.055) * np.power(light, np.float32(1 / 2.4)) - np.float32(0.055)
    np.copyto(image, light * np.float32(12.92), where=light <= _LIGHT_TOE)
    return image
