"""The node inside a real OpenFX host, MLT's, driven frame by frame."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft.merge.keys import VERSION
from tests.host_plugin_ofx import mlt_host
from tests.host_plugin_ofx.face_clip import FaceClip
from tests.host_plugin_ofx.mlt_run import Mlt
from tests.host_plugin_ofx.scene import LARGEST, Scene, codes, unit

pytestmark = pytest.mark.slow

FRAMES = 4
# the same keys as JSON has them and as MLT writes them
KEYED = {
    "mix": {"keys": [[0, 0.0, "linear"], [6, 1.0, "linear"]]},
    "mode": {"keys": [[0, "overlay", "hold"], [5, "seamless", "hold"]]},
    "blur": {"keys": [[2, 0.0, "linear"], [8, 60.0, "linear"]]},
    "color_transfer": "lct",
}
KEYED_IN_MLT = {
    "mix": "0=0;6=1",
    "mode": "0|=overlay;5|=seamless",
    "blur": "2=0;8=60",
    "color_transfer": "lct",
}


@pytest.fixture(scope="module")
def mlt(tmp_path_factory, compiler, bundle) -> Mlt:
    try:
        return Mlt(tmp_path_factory.mktemp("mlt"), compiler, bundle)
    except mlt_host.Unavailable as error:
        pytest.skip(f"no MLT with OpenFX: {error}")


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_keyframed_settings_give_the_engine_s_pixels_within_one_code(mlt, scene: Scene, dtype):
    """mix runs, mode jumps; the faces are each frame's own. Alpha stays."""
    frames = [codes(dtype, frame=f) for f in range(FRAMES)]
    values = scene.values(mix="0=0.2;3=0.8", mode="0|=overlay;2|=seamless", color_transfer="lct")
    pixels, _ = mlt.run(frames, values)
    for f, (found, source) in enumerate(zip(pixels, frames, strict=True)):
        wanted, matte = scene.merged(
            unit(source)[..., :3], f,
            mix=0.2 + 0.2 * f, mode="seamless" if f >= 2 else "overlay", color_transfer="lct",
        )  # fmt: skip
        expected = np.clip(wanted, 0, 1) * LARGEST[dtype]
        assert np.abs(found[..., :3] - expected).max() <= 1
        assert matte.any() and np.array_equal(found[matte == 0], source[matte == 0])
        assert np.array_equal(found[..., 3], source[..., 3])


def test_without_mix_the_host_gets_its_own_frames(mlt, scene: Scene):
    """MLT never asks whether the node changes anything: it renders, and gets the source."""
    frames = [codes("u1", frame=f) for f in range(2)]
    pixels, _ = mlt.run(frames, scene.values(mix=0))
    assert np.array_equal(pixels, np.stack(frames))


def test_an_error_s_text_arrives_and_the_frames_pass(mlt, scene: Scene):
    """MLT ignores the render's status: what counts is that the picture is whole."""
    frames = [codes("u1", frame=f) for f in range(2)]
    pixels, said = mlt.run(frames, scene.values(model="/no/such/model.dfm"))
    assert np.array_equal(pixels, np.stack(frames))
    assert "/no/such/model.dfm" in said


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_a_face_clip_has_the_pixels_of_the_command_s_pictures_within_one_code(
    mlt, face_clip: FaceClip, tmp_path, dtype
):
    """`facegraft merge` writes PNG of the same clip with the same keys; most pixels are equal."""
    frames = [with_alpha(frame, dtype) for frame in face_clip.frames]
    pixels, said = mlt.run(frames, face_clip.scene.values(**KEYED_IN_MLT))
    assert said == ""
    for f, wanted in enumerate(by_the_command(face_clip, dtype, tmp_path)):
        apart = np.abs(pixels[f][..., :3].astype(int) - wanted)
        assert apart.max() <= 1 and (apart > 0).mean() < 0.01
        assert (f == 0) == np.array_equal(wanted, frames[f][..., :3])  # the first key's mix is 0


def with_alpha(frame: np.ndarray, dtype: str) -> np.ndarray:
    """(H, W, 4) of the depth, opaque, from (H, W, 3) uint8."""
    rgba = np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])
    return rgba if dtype == "u1" else rgba.astype(np.uint16) * 257


def by_the_command(clip: FaceClip, dtype: str, folder: Path) -> list[np.ndarray]:
    """(H, W, 3) of each picture that `facegraft merge` wrote."""
    source, out, params = folder / "source", folder / "out", folder / "params.json"
    source.mkdir()
    for f, frame in enumerate(clip.frames):
        cv2.imwrite(str(source / f"{f:06d}.png"), with_alpha(frame, dtype)[..., 2::-1])
    params.write_text(json.dumps({"version": VERSION, "params": KEYED}))
    arguments = ["merge", source, out, "--model", clip.scene.model, "--faces", clip.scene.faceset]
    command = [sys.executable, "-m", "facegraft_cli", *arguments, "--params", params]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    written = [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted(out.glob("*.png"))]
    assert len(written) == len(clip.frames)
    return [picture[..., ::-1] for picture in written if picture is not None]
