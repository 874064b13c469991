"""A picture of an error message, to lay over a frame that could not be made.

Blender draws the text itself, on the processor, so this works in background and needs no engine.
"""

import tempfile
import textwrap
from pathlib import Path

import blf  # pyright: ignore[reportMissingImports]
import bpy  # pyright: ignore[reportMissingImports]
import imbuf  # pyright: ignore[reportMissingImports]
import numpy as np

_FONT = 0  # Blender's own
_LINE = 64  # characters
_LINES_PER_HEIGHT = 24  # text is a twenty-fourth of the frame's height
_SMALLEST = 8  # px
_TINT = (0.25, 0.02, 0.02, 0.8)  # premultiplied scene-linear RGBA behind the text


def error_card(message: str, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 4) float32 premultiplied RGBA, row 0 at the top: white text on dark red."""
    width, height = size
    text_px = max(_SMALLEST, min(height // _LINES_PER_HEIGHT, 2 * width // _LINE))
    buffer = imbuf.new((width, height))
    blf.size(_FONT, text_px)
    blf.color(_FONT, 1, 1, 1, 1)
    with blf.bind_imbuf(_FONT, buffer):
        for i, line in enumerate(["FaceGraft", *textwrap.wrap(message, _LINE)]):
            blf.position(_FONT, text_px, height - (i + 2) * 1.4 * text_px, 0)
            blf.draw_buffer(_FONT, line)
    text = _alpha_of(buffer)[..., None]
    return (np.asarray(_TINT, np.float32) * (1 - text) + text).astype(np.float32)


def _alpha_of(buffer: imbuf.types.ImBuf) -> np.ndarray:
    """(H, W) float32 0..1; Blender gives a buffer's pixels only by way of a file."""
    with tempfile.TemporaryDirectory(prefix="facegraft-card-") as folder:
        path = str(Path(folder) / "card.png")
        imbuf.write(buffer, filepath=path)
        image = bpy.data.images.load(path)
        try:
            width, height = image.size
            pixels = np.empty(width * height * 4, np.float32)
            image.pixels.foreach_get(pixels)
        finally:
            bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[::-1, :, 3]
