"""From a place in an editor to a pixel of a node's picture, and back. No bpy in here.

Pictures count from the top left corner of the first pixel, editors from the bottom left.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """Where a viewer's picture lies in an editor's region.

    x, y: region px of its bottom left corner. zoom: region px per picture px.
    """

    x: float
    y: float
    zoom: float
    size: tuple[int, int]  # of the picture, px

    def to_picture(self, x: float, y: float) -> tuple[float, float]:
        """Picture px under a place in the region."""
        return (x - self.x) / self.zoom, self.size[1] - (y - self.y) / self.zoom

    def to_region(self, x: float, y: float) -> tuple[float, float]:
        return self.x + x * self.zoom, self.y + (self.size[1] - y) * self.zoom


def backdrop(
    region: tuple[int, int], size: tuple[int, int], zoom: float, offset: tuple[float, float]
) -> Shown:
    """A node editor's backdrop: centred in the region, moved by `offset` region px."""
    x, y = ((r - zoom * s) / 2 + o for r, s, o in zip(region, size, offset, strict=True))
    return Shown(x, y, zoom, size)


def centred(point: tuple[float, float], outer: tuple[int, int], inner: tuple[int, int]):
    """A point of the picture `outer` as one of `inner`, which Blender centres on it unscaled."""
    x, y = (p - (o - i) / 2 for p, o, i in zip(point, outer, inner, strict=True))
    return x, y
