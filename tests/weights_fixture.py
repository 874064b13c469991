"""The detector's networks for tests: from the data folder, where `facegraft weights fetch` puts
them before the tests run. Nothing is downloaded here.
"""

from functools import cache

import numpy as np
import pytest
import skimage.data

from facegraft import weights
from facegraft.faces.detect import FaceDetector

_MISSING = [
    status.file.name
    for status in weights.list_weights()
    if status.file.is_converted and status.state is not weights.State.INSTALLED
]
needs_weights = pytest.mark.skipif(
    bool(_MISSING), reason=f"not installed: {_MISSING}; run: facegraft weights fetch"
)


@cache
def detector() -> FaceDetector:
    """One detector for all tests: opening the networks takes a fifth of a second."""
    return FaceDetector(threads=1)


def portrait() -> np.ndarray:
    """(512, 512, 3) uint8 RGB: scikit-image's astronaut, NASA, in the public domain."""
    return skimage.data.astronaut()


@cache
def portrait_landmarks() -> np.ndarray:
    """(68, 2) of the portrait as the detector gives them."""
    return detector().detect(portrait())[0].landmarks
