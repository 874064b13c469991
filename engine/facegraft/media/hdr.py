"""Highlights inside a swapped face: what a network that learned from 0..1 cannot give.

The rule: the network sees the plate clipped to 1. Where the plate is brighter than 1 *and* the new
face is bright, the new face is multiplied, in linear light, by what clipping took from the plate's
luminance. So highlights keep the plate's strength where the face shows them, a face without a
highlight there gets none, and wherever the plate is 1 or below nothing changes by a bit.

Chosen on drawn heads with highlights of 1.2, 6 and 20 times white, equal, moved, weaker or absent
on the wanted face, against networks that blur by 1.5 to 3 px and keep 90 to 100 percent of the
contrast. Mean error of the highlights' luminance in stops, over the cases, by rule
(`benchmarks/highlights.py`):

    network                     clip    this rule   add the excess   shoulder 0.8 and its inverse
    faithful, peak 6            0.43    0.33        1.01             0.08
    flatter by 5 %, peak 6      0.51    0.30        0.99             0.35
    flatter by 10 %, peak 6     0.59    0.30        0.98             0.56
    flatter by 10 %, peak 20    1.03    0.41        1.39             0.83

A soft shoulder would win with a network that is right to a percent near white, but its inverse
magnifies every error there some thirty times, it changes what the network sees from 0.8 on, and
colour fitting works after the network. Adding the excess lights up faces without highlights.
"""

import cv2
import numpy as np

from facegraft.media.color import srgb_decode, srgb_encode

LUMA = np.array([[0.2126, 0.7152, 0.0722]], np.float32)  # of linear Rec. 709
DARK, BRIGHT = 0.6, 1.0  # display values of the face between which highlights set in


def carry_highlights(face: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """`face` with the strength of the plate's highlights.

    face:  (h, w, 3) float32 RGB, display-referred, about 0..1: the new face.
    plate: (h, w, 3) float32 of the same place, unclipped, finite.
    Gives `face` itself where nothing is brighter than 1.
    """
    if face.size == 0 or float(plate.max()) <= 1:
        return face
    hot = (plate.max(axis=2) > 1).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(hot)
    area = np.s_[y : y + height, x : x + width]
    light = srgb_decode(plate[area])
    clipped = cv2.transform(np.clip(light, 0, 1), LUMA)
    gain = np.maximum(cv2.transform(light, LUMA) / np.maximum(clipped, 1e-6), 1)
    part = np.clip((face[area].max(axis=2) - DARK) / (BRIGHT - DARK), 0, 1)
    factor = 1 + (gain - 1) * (part * part * (3 - 2 * part))  # smoothstep
    brighter = srgb_encode(srgb_decode(face[area]) * factor[..., None])
    result = face.copy()
    np.copyto(result[area], brighter, where=(hot[area] > 0)[..., None])
    return result
