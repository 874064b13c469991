"""Gives the face the grain of its frame: same strength per channel, same size, same light.

`measure_grain` reads film or sensor grain from a picture, `lacking_grain` makes what a face
lacks.

The model: grain is white Gaussian noise, softened by a Gaussian of `size_px` and mixed over the
channels by a covariance, whose variance rises or falls evenly with luma (photon noise does, Foi et
al., "Practical Poissonian-Gaussian noise modeling", 2008). It is read from what a small blur takes
away where the picture is flat. What that blur takes away of grain of each size is known in closed
form, so strength and size are read back exactly, up to the picture's own texture.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

_BLUR_SIGMA = 2.0  # px: takes away grain of any film or sensor size, keeps shading
_BLUR_PX = 13  # its kernel, three sigmas to either side
_FLAT_SHARE = 0.4  # of the pixels, the flattest: skin, walls and sky, not lids and hair
_CELL_PX = 4  # flatness is judged on cells this large, so that grain has no say in it
_TEXTURE = 4.0  # times the usual power: skin in light and shade differs by less
_OUTLIER = 4.0  # robust deviations; what lies beyond is an edge
_CLIPPED = 1 / 255  # this near to black and white the footage has lost its grain
_ENOUGH = 10000  # values for a median good to a percent
_MEASURED_PX = 150_000  # pixels of a picture that are looked at: more would cost time only
_STRIP_PX = 64  # rows of each of its strips
_LEAST_PIXELS = 256  # fewer flat pixels give no figure worth using
_SIZES_PX = np.linspace(0.0, 2.0, 41)  # larger grain looks like texture to the small blur
_LEAST_LIGHT, _MOST_LIGHT = 0.25, 4.0  # times the mean variance, against wild extrapolation
_LEAST_LUMA = 0.02  # deviation of luma that makes a slope half believed
_LUMA = np.array([[0.2126, 0.7152, 0.0722]], np.float32)  # BT.709


@dataclass(frozen=True, slots=True, eq=False)
class Grain:
    """Grain of a picture.

    covariance: (3, 3) float64, of the RGB channels' grain at luma `luma`.
    size_px:    sigma of the Gaussian that softens it; 0 is white noise.
    slope:      relative change of the variance per unit of luma.
    """

    covariance: np.ndarray
    size_px: float
    luma: float
    slope: float

    def light(self, luma: np.ndarray) -> np.ndarray:
        """How many times the variance at `self.luma` the grain has at each `luma`."""
        return np.clip(1 + self.slope * (luma - self.luma), _LEAST_LIGHT, _MOST_LIGHT)


NO_GRAIN = Grain(np.zeros((3, 3)), 0.0, 0.5, 0.0)


Noise = Callable[[tuple[int, int], float, int], np.ndarray]  # as `synthesize`


def lacking_grain(
    image: np.ndarray,
    reference: np.ndarray,
    weights: np.ndarray,
    seed: int,
    noise: Noise | None = None,
) -> np.ndarray:
    """(h, w, 3) float32: the grain that `reference` has and `image` lacks, to be added to it; zero
    where it lacks none.

    image:     (h, w, 3) float32 RGB, display-referred, the face as it lies in the frame.
    reference: (h, w, 3) float32, the frame's own pixels there: around and under the face.
    weights:   (h, w) float32 0..1, where the face is. The frame's grain is measured where any of
               it is, under the face and around its edge: a backdrop may have lost its own in the
               codec or be a graphic. The face's own is measured above a half.
    seed:      of the noise: the frame's index. Equal seeds and sizes give equal noise.
    noise:     `synthesize`, or what gives the same, kept from before.
    """
    wanted = measure_grain(reference, weights > 0)
    own = measure_grain(image, weights > 0.5)
    luma = cv2.transform(image, _LUMA)
    light = wanted.light(luma)
    mean_light = float(wanted.light(np.array(own.luma)))
    lacking = _positive(wanted.covariance * mean_light - own.covariance)
    if not lacking.any():
        return np.zeros_like(image)
    white = (noise or synthesize)(image.shape[:2], wanted.size_px, seed)
    added = cv2.transform(white, _root(lacking).astype(np.float32))
    strength = cv2.sqrt(light / np.float32(mean_light))
    added *= cv2.merge((strength, strength, strength))  # numpy broadcasts slowly over channels
    return added


def synthesize(shape: tuple[int, int], size_px: float, seed: int) -> np.ndarray:
    """(h, w, 3) float32: grain of variance 1, independent over the channels.

    numpy's own generator with a seed: no thread and no other call changes what comes.
    """
    random = np.random.Generator(np.random.SFC64(seed))
    noise = random.standard_normal((*shape, 3), np.float32)
    if size_px < _SIZES_PX[1]:
        return noise
    taps = _unit_energy(size_px)
    return cv2.sepFilter2D(noise, -1, taps, taps, borderType=cv2.BORDER_REFLECT_101)


def measure_grain(image: np.ndarray, where: np.ndarray | None = None) -> Grain:
    """The grain of (h, w, 3) float32 RGB, in its flat parts; NO_GRAIN where too few are flat.

    where: (h, w) bool, pixels to look at; None for all. Pixels at black or white do not count.
    """
    image = _strips(image)
    where = None if where is None else _strips(where)
    smooth = cv2.GaussianBlur(image, (_BLUR_PX, _BLUR_PX), _BLUR_SIGMA)
    residual = image - smooth
    luma = cv2.transform(smooth, _LUMA)
    grey = cv2.transform(residual, _LUMA)
    flat = _flat(luma, grey, where)
    if np.count_nonzero(flat) < _LEAST_PIXELS:
        return NO_GRAIN
    spread = float(np.median(np.abs(_some(grey[flat])))) * 1.4826  # of a Gaussian: MAD to deviation
    flat &= np.abs(grey) <= max(_OUTLIER * spread, 1e-9)

    # of a bool index and of compress, which do the same, the latter is four times as fast
    channels = np.compress(flat.ravel(), residual.reshape(-1, 3), axis=0).T.copy()
    lumas, power = luma[flat], np.square(grey[flat])
    size_px, kept = _size(grey, flat)
    middle, variance = float(lumas.mean()), float(lumas.var())
    shared = float(((lumas - middle) * power).mean())
    mean_power = float(power.mean())
    # over a narrow range of luma the slope is a guess, so it fades out
    slope = shared / (variance + _LEAST_LUMA**2) / mean_power if mean_power > 0 else 0.0
    covariance = np.array([[_mean_product(a, b) for a in channels] for b in channels]) / kept
    return Grain(covariance, size_px, middle, slope)


def _strips(image: np.ndarray) -> np.ndarray:
    """(h, w, ...) thinned out in whole strips of rows; a seam is an edge like any other."""
    height, width = image.shape[:2]
    step = _STRIP_PX * (1 + height * width // _MEASURED_PX)
    if step >= height:
        return image
    return np.concatenate([image[y : y + _STRIP_PX] for y in range(0, height, step)])


def _flat(luma: np.ndarray, grey: np.ndarray, where: np.ndarray | None) -> np.ndarray:
    """(h, w) bool: the flattest pixels of `where` that are neither black nor white.

    luma: what the small blur leaves. grey: what it takes away. Judged on cells: flat ones change
    little to the next, and hold no fine texture, which would be many times stronger than grain.
    """
    usable = (luma > _CLIPPED) & (luma < 1 - _CLIPPED)
    if where is not None:
        usable &= where
    height, width = luma.shape
    cells = max(2, width // _CELL_PX), max(2, height // _CELL_PX)
    coarse = cv2.blur(cv2.resize(luma, cells, interpolation=cv2.INTER_AREA), (3, 3))
    dx, dy = (cv2.Sobel(coarse, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    steepness = dx * dx + dy * dy
    power = cv2.blur(cv2.resize(grey * grey, cells, interpolation=cv2.INTER_AREA), (5, 5))
    good = cv2.resize(usable.astype(np.uint8), cells, interpolation=cv2.INTER_NEAREST) > 0
    if not good.any():
        return np.zeros_like(usable)
    good &= steepness <= np.quantile(steepness[good], _FLAT_SHARE)
    good &= power <= _TEXTURE * np.median(power[good])
    good = cv2.resize(good.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return usable & (good > 0)


def _size(grey: np.ndarray, flat: np.ndarray) -> tuple[float, float]:
    """Size of the grain in px, and the share of its variance that the residual `grey` holds."""
    inside = np.where(flat, grey, 0)
    count = flat.astype(np.float32)
    power = _mean_product(inside, inside) / _mean_product(count, count)
    pairs = _mean_neighbours(count)
    likeness = _mean_neighbours(inside) / pairs / power if power > 0 and pairs > 0 else -1.0
    likenesses, kept = _seen_through_the_blur()
    size = float(np.interp(likeness, likenesses, _SIZES_PX))
    return size, float(np.interp(size, _SIZES_PX, kept))


@cache
def _seen_through_the_blur() -> tuple[np.ndarray, np.ndarray]:
    """For grain of variance 1 and each of _SIZES_PX, of what the small blur takes away: the
    likeness of neighbouring pixels (autocorrelation at one px), and the variance."""
    side = 4 * _BLUR_PX  # holds both kernels
    blur = cv2.getGaussianKernel(_BLUR_PX, _BLUR_SIGMA)
    rest = np.zeros((side, side))
    middle = slice(side // 2 - _BLUR_PX // 2, side // 2 + _BLUR_PX // 2 + 1)
    rest[middle, middle] = -blur @ blur.T
    rest[side // 2, side // 2] += 1
    likenesses, kept = [], []
    for size in _SIZES_PX:
        taps = _unit_energy(size)
        seen = cv2.sepFilter2D(rest, -1, taps, taps, borderType=cv2.BORDER_CONSTANT)
        power = float((seen * seen).sum())
        likenesses.append(float((seen[:, 1:] * seen[:, :-1]).sum()) / power)
        kept.append(power)
    return np.array(likenesses), np.array(kept)


def _unit_energy(size_px: float) -> np.ndarray:
    """A Gaussian's taps whose squares sum to 1: white noise keeps its variance."""
    taps = cv2.getGaussianKernel(2 * math.ceil(3 * size_px) + 1, max(size_px, 1e-3))
    return taps / np.sqrt((taps * taps).sum())


def _some(values: np.ndarray) -> np.ndarray:
    """(N,) thinned out evenly to what a median or a quantile needs."""
    return values[:: 1 + len(values) // _ENOUGH]


def _mean_product(a: np.ndarray, b: np.ndarray) -> float:
    """Summed by numpy, since a BLAS sums in another order on another number of threads."""
    return float((a * b).mean(dtype=np.float64))


def _mean_neighbours(values: np.ndarray) -> float:
    across, down = (values[:, 1:], values[:, :-1]), (values[1:], values[:-1])
    return (_mean_product(*across) + _mean_product(*down)) / 2


def _positive(covariance: np.ndarray) -> np.ndarray:
    """The nearest covariance: what would be negative variance is none."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
