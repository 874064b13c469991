"""The layer image inside a FaceGraft node; nothing else in the add-on touches bpy images.

A layer is a generated float image: Blender takes its values as scene linear and as they stand,
without a colour or alpha conversion. It is runtime data, so files stay small and closing Blender
never asks to save it; after loading a file it is made anew, empty, which shows the source.
Arrays are (H, W, 4) float32, premultiplied RGBA, row 0 at the top; Blender keeps row 0 at the
bottom.
"""

import threading
from pathlib import Path

import bpy  # pyright: ignore[reportMissingImports]
import numpy as np

_EMPTY_SIZE = 16  # px; any size does, a transparent layer changes nothing


def new_layer(name: str) -> bpy.types.Image:
    """An empty, transparent layer."""
    image = bpy.data.images.new(
        name, _EMPTY_SIZE, _EMPTY_SIZE, alpha=True, float_buffer=True, is_data=True
    )
    image.alpha_mode = "CHANNEL_PACKED"  # says that colour is not to be multiplied by alpha
    image.generated_color = (0.0, 0.0, 0.0, 0.0)
    image.is_runtime_data = True
    return image


def write_layer(image: bpy.types.Image, pixels: np.ndarray) -> None:
    """Make `pixels` the layer's picture, at their size."""
    height, width = pixels.shape[:2]
    if tuple(image.size) != (width, height):
        image.generated_width, image.generated_height = width, height
    image.pixels.foreach_set(np.ascontiguousarray(pixels[::-1]).ravel())
    _announce(image)


def write_part(
    image: bpy.types.Image,
    part: np.ndarray,
    roi: tuple[int, int, int, int],
    size: tuple[int, int],
) -> None:
    """Make a layer of `size` (width, height) the image's picture: `part` (h, w, 4) at `roi` (x0,
    y0, x1, y1 from the top left), transparent everywhere else."""
    width, height = size
    if tuple(image.size) != size:
        image.generated_width, image.generated_height = width, height
    with _canvas_lock:
        image.pixels.foreach_set(_canvas.showing(part, roi, size))
    _announce(image)


class _Canvas:
    """A whole layer, bottom row first, whose memory is kept for the next one: making and flipping
    a frame's worth anew took longer at 1080p than most changes of a control."""

    def __init__(self) -> None:
        self._pixels = np.zeros((0, 0, 4), np.float32)
        self._filled = np.s_[0:0, 0:0]

    def showing(
        self, part: np.ndarray, roi: tuple[int, int, int, int], size: tuple[int, int]
    ) -> np.ndarray:
        """(height * width * 4,) float32, good until the next call."""
        width, height = size
        if self._pixels.shape[:2] != (height, width):
            self._pixels = np.zeros((height, width, 4), np.float32)
        else:
            self._pixels[self._filled] = 0
        x0, y0, x1, y1 = roi
        self._filled = np.s_[height - y1 : height - y0, x0:x1]
        self._pixels[self._filled] = part[::-1]
        return self._pixels.reshape(-1)


_canvas = _Canvas()
_canvas_lock = threading.Lock()  # a render in the interface has a thread of its own


def clear_layer(image: bpy.types.Image) -> None:
    """Make the layer transparent, so that the node gives its source back exactly."""
    width, height = image.size
    image.pixels.foreach_set(np.zeros(width * height * 4, np.float32))
    _announce(image)


def layer_sequence(first: Path) -> bpy.types.Image:
    """Baked layers as an image sequence, values as they stand. Raises: RuntimeError."""
    image = bpy.data.images.load(_relative(first))
    image.source = "SEQUENCE"
    image.colorspace_settings.name = "Non-Color"
    image.alpha_mode = "CHANNEL_PACKED"
    return image


def save_layer(image: bpy.types.Image, path: Path, scene: bpy.types.Scene) -> None:
    """The layer as an EXR, as `scene` says (`compat.set_exr_output`). Raises: RuntimeError."""
    image.save_render(str(path), scene=scene)


def _relative(path: Path) -> str:
    """A path that moves along with the .blend file where it can."""
    try:
        return bpy.path.relpath(str(path)) if bpy.data.filepath else str(path)
    except ValueError:  # on Windows another drive
        return str(path)


def _announce(image: bpy.types.Image) -> None:
    image.update()
    image.update_tag()  # without it 5.2 shows the first frame's pixels in strip modifiers
