"""What the OpenFX node costs a frame beside the engine's own work.

    python benchmarks/ofx.py [--frames 15]

Renders frames without a face through the node as a host does (the bundle is built for it), so that
what is left is the way there and back: conversion to float, shared memory, the message, the hash of
the pixels, and the copy into the host's image. The faceset, which names no face of these frames,
keeps the detector out. Every frame differs from the one before.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "install")]

import build_ofx_bundle  # noqa: E402  # pyright: ignore[reportMissingImports]
from tests.host_plugin_ofx.scene import Scene, make_scene  # noqa: E402

from facegraft_cli.ofx_host import FILTER, OK, OfxHost, Picture  # noqa: E402

SIZES = {"1080p": (1920, 1080), "4K": (3840, 2160)}
DEPTHS = {"byte": "u1", "short": "u2", "half": "f2", "float": "f4"}
IN_FLIGHT = 4


def moving(dtype: str, size: tuple[int, int], number: int) -> Picture:
    """A picture that differs from its neighbours."""
    width, height = size
    pixels = np.full((height, width, 4), 100, np.uint8)
    pixels[..., 0] = (np.arange(width) + number) % 200
    scale = {"u1": 1, "u2": 257}.get(dtype, 1 / 255)
    return Picture.of((pixels * np.float32(scale)).astype(dtype), top_first=True)


def values_of(scene: Scene) -> dict:
    return scene.values(frame_name="nobody")


def one_by_one(host: OfxHost, scene: Scene, dtype: str, size: tuple[int, int], frames: int) -> str:
    """Best and median milliseconds of a frame."""
    took = []
    with host.create(FILTER, values_of(scene)) as instance:
        for number in range(frames + 2):
            source = moving(dtype, size, number)
            output = Picture.of(source.pixels, top_first=True)
            start = time.perf_counter()
            status = instance.render(float(number), source, output)
            took.append((time.perf_counter() - start) * 1e3)
            assert status == OK, instance.effect.messages
    took = took[2:]  # the first ones make the mapping
    return f"best {min(took):6.1f} ms, median {np.median(took):6.1f} ms"


def in_flight(host: OfxHost, scene: Scene, dtype: str, size: tuple[int, int], frames: int) -> str:
    """Frames a second of several threads, each with an instance and pictures of its own."""
    pictures = [[moving(dtype, size, 10 * t + n) for n in range(2)] for t in range(IN_FLIGHT)]

    def work(mine: list[Picture]) -> None:
        output = Picture.of(mine[0].pixels, top_first=True)
        with host.create(FILTER, values_of(scene)) as instance:
            for number in range(frames):
                assert instance.render(float(number), mine[number % 2], output) == OK

    threads = [threading.Thread(target=work, args=(mine,)) for mine in pictures]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return f"{IN_FLIGHT * frames / (time.perf_counter() - start):5.1f} frames/s"


def main() -> None:
    parser = argparse.ArgumentParser(description="Overhead of the OpenFX node.")
    parser.add_argument("--frames", type=int, default=15)
    frames = parser.parse_args().frames
    os.environ["FACEGRAFT_PYTHON"] = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        bundle = build_ofx_bundle.build(Path(folder), build_ofx_bundle.find_compiler())
        host = OfxHost(bundle / build_ofx_bundle.LIBRARY)
        scene = make_scene(Path(folder) / "scene")
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {frames} frames each")
        for name, size in SIZES.items():
            for depth, dtype in DEPTHS.items():
                single = one_by_one(host, scene, dtype, size, frames)
                several = in_flight(host, scene, dtype, size, max(2, frames // 3))
                print(f"{name:6} {depth:6} {single}; {IN_FLIGHT} in flight {several}", flush=True)


if __name__ == "__main__":
    main()
