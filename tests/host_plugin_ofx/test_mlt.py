"""The node inside a real OpenFX host, MLT's, driven frame by frame."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.host_plugin_ofx import mlt_host
from tests.host_plugin_ofx.scene import HEIGHT, LARGEST, WIDTH, Scene, codes, unit

pytestmark = pytest.mark.slow

SERVICE = "openfx.org.facegraft.faceswap"
FRAMES = 4
FORMATS = {"u1": 2, "u2": 10}  # MLT's numbers
PROFILE = f"""description=test
frame_rate_num=25
frame_rate_den=1
width={WIDTH}
height={HEIGHT}
progressive=1
sample_aspect_num=1
sample_aspect_den=1
display_aspect_num={WIDTH}
display_aspect_den={HEIGHT}
colorspace=709
"""


class Mlt:
    """The driver, ready to run with the host's libraries."""

    def __init__(self, folder: Path, driver: Path, plugins: Path) -> None:
        root = mlt_host.host_root()
        modules = folder / "modules"
        modules.mkdir()
        self._environment = mlt_host.environment(root, modules, plugins)
        self._environment["FACEGRAFT_PYTHON"] = sys.executable
        self._command = mlt_host.command(root, driver)
        self._profile = folder / "profile"
        self._profile.write_text(PROFILE)

    def run(self, frames: list[np.ndarray], values: dict[str, object]) -> tuple[np.ndarray, str]:
        """(N, H, W, 4) what the filter made of the frames, and what the host said."""
        dtype = frames[0].dtype.str[1:]
        arguments = [self._profile, SERVICE, WIDTH, HEIGHT, FORMATS[dtype], len(frames)]
        result = subprocess.run(
            [*self._command, *map(str, arguments), *(f"{k}={v}" for k, v in values.items())],
            input=b"".join(frame.tobytes() for frame in frames),
            capture_output=True, timeout=300, env=self._environment,
        )  # fmt: skip
        said = result.stderr.decode(errors="replace")
        assert result.returncode == 0, said
        pixels = np.frombuffer(result.stdout, dtype)
        return pixels.reshape(len(frames), HEIGHT, WIDTH, 4), said


@pytest.fixture(scope="module")
def mlt(tmp_path_factory, compiler, bundle) -> Mlt:
    folder = tmp_path_factory.mktemp("mlt")
    driver = folder / "driver"
    source = Path(__file__).with_name("mlt_driver.c")
    command = [*compiler, "-std=c11", "-o", str(driver), str(source), "-ldl"]
    subprocess.run(command, check=True, timeout=120)
    try:
        return Mlt(folder, driver, bundle.parent)
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
