"""The node's half floats against numpy's."""

import ctypes
import subprocess
from collections.abc import Callable

import numpy as np
import pytest

from tests.host_plugin_ofx.tools import build_ofx_bundle

SOURCE = """
#include <stddef.h>
#include "half.h"
void to_float(const uint16_t *from, float *to, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] = half_to_float(from[i]);
}
void of_float(const float *from, uint16_t *to, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] = half_of_float(from[i]);
}
"""
EVERY = np.arange(1 << 16, dtype=np.uint16)
FLOATS = EVERY.view(np.float16).astype(np.float32)
IS_NAN = np.isnan(FLOATS)


@pytest.fixture(scope="module", params=["-O0", "-O3"])
def convert(compiler, tmp_path_factory, request) -> Callable[[str, np.ndarray], np.ndarray]:
    """Run one of the two functions over an array."""
    folder = tmp_path_factory.mktemp("half")
    (folder / "half.c").write_text(SOURCE)
    command = [*compiler, "-std=c11", request.param, "-Wall", "-Wextra", "-Werror", "-shared"]
    command += ["-fPIC", "-I", str(build_ofx_bundle.SOURCES), "-o", str(folder / "half.so")]
    subprocess.run([*command, str(folder / "half.c")], check=True, timeout=120)
    library = ctypes.CDLL(str(folder / "half.so"))

    def run(name: str, values: np.ndarray) -> np.ndarray:
        result = np.empty(values.shape, np.float32 if values.dtype == np.uint16 else np.uint16)
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (values, result)]
        getattr(library, name)(*pointers, ctypes.c_size_t(values.size))
        return result

    return run


def test_every_half_is_the_float_that_numpy_says(convert):
    """To the bit; NaN stays NaN."""
    found = convert("to_float", EVERY)
    assert np.array_equal(FLOATS.view(np.uint32)[~IS_NAN], found.view(np.uint32)[~IS_NAN])
    assert np.isnan(found[IS_NAN]).all()


def test_every_half_comes_back_from_its_float(convert):
    found = convert("of_float", FLOATS)
    assert np.array_equal(EVERY[~IS_NAN], found[~IS_NAN])
    assert np.isnan(found.view(np.float16)[IS_NAN]).all()


def test_floats_between_two_halves_go_to_the_nearest_and_of_two_to_the_even_one(convert):
    """The middles, their neighbours to either side, the limits, and floats of any bits."""
    halves = np.sort(FLOATS[np.isfinite(FLOATS)])
    middles = (halves[1:] + halves[:-1]) / 2
    beyond = np.array([65519.996, 65520, 1e30, np.inf, 1e-40, 2**-25, 0], np.float32)
    chance = np.random.default_rng(1).integers(0, 1 << 32, 1 << 20, dtype=np.uint32)
    floats = [middles, beyond, -beyond, chance.view(np.float32)]
    floats += [np.nextafter(middles, np.float32(end)) for end in (np.inf, -np.inf)]
    values = np.concatenate(floats)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(np.float16)
    found = convert("of_float", values)
    good = ~np.isnan(values)
    assert np.array_equal(expected.view(np.uint16)[good], found[good])
    assert np.isnan(found.view(np.float16)[~good]).all()
