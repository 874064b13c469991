"""Steady colour and mask in the node: with the file that a pass over the clip wrote, a frame is
averaged over time as the engine's other hosts average it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from facegraft.worker.client import WorkerClient
from facegraft.worker.clip_client import ClipPasses
from facegraft_cli.ofx_host import GENERAL, OK, OfxHost, Picture
from tests.host_plugin_ofx.scene import FRAMES, Scene, codes, unit

PARAMS = {"smooth_color": 3.0, "smooth_mask": 2.0}


def frame(number: int) -> np.ndarray:
    """(H, W, 4) uint8, opaque, in light that flickers from frame to frame."""
    pixels = codes("u1", frame=number)
    pixels[..., :3] = (pixels[..., :3] * (0.6, 1.0, 0.8)[number % 3]).astype(np.uint8)
    pixels[..., 3] = 255
    return pixels


def asked(scene: Scene, number: int) -> dict:
    return {
        "model": str(scene.model),
        "faceset": str(scene.faceset),
        "frame_key": f"{number:06d}",
        "frame": number,
        "params": PARAMS,
        "color": "display",
    }


@pytest.fixture(scope="module")
def client():
    with WorkerClient.start([sys.executable, "-P", "-m", "facegraft.worker"]) as client:
        yield client


@pytest.fixture(scope="module")
def fits(client, scene: Scene, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("fits") / "the shot; ä.zip"
    with client.share() as connection:
        passes = ClipPasses(connection)
        for number in range(FRAMES):
            values = asked(scene, number)
            passes.fit(unit(frame(number)), first=number == 0, **values)
        passes.save_fits(str(path))
    return path


def swapped(host: OfxHost, values: dict, number: int, time: float) -> tuple[np.ndarray, str]:
    """Output and message of a frame that the host calls `time`."""
    output = Picture.of(np.zeros_like(frame(number)))
    with host.create(GENERAL, values) as instance:
        assert instance.render(time, Picture.of(frame(number)), output) == OK
        return output.pixels, instance.effect.shown


def test_frames_are_averaged_over_the_clip_as_in_other_hosts(host, client, scene: Scene, fits):
    """Also where the host's frames have other numbers than the clip's."""
    values = scene.values(**PARAMS, fits=str(fits))
    for number, first in ((0, 0), (4, 0), (4, 1001)):
        out, shown = swapped(host, {**values, "frame_offset": -first}, number, number + first)
        rgba = unit(frame(number))
        reply = client.merge(rgba, fits=str(fits), **asked(scene, number))
        below = rgba[..., :3] * (1 - reply.layer[..., 3:])
        expected = np.clip(reply.layer[..., :3] + below, 0, 1) * 255
        assert not reply.notes and shown == ""
        assert np.abs(expected - out[..., :3]).max() < 0.51
        alone, _ = swapped(host, scene.values(), number, number)
        assert np.abs(alone.astype(int) - out).max() > 2


def test_a_file_of_fits_that_is_damaged_or_missing_is_told_and_the_frame_s_own_are_used(
    host, scene: Scene, tmp_path
):
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(b"no zip")
    alone, _ = swapped(host, scene.values(), 0, 0)
    for path in (damaged, tmp_path / "missing.zip"):
        out, shown = swapped(host, scene.values(**PARAMS, fits=str(path)), 0, 0)
        assert path.name in shown and np.array_equal(alone, out)
