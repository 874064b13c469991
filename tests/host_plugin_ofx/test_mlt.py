"""The node inside a real OpenFX host, MLT's, driven frame by frame."""

import numpy as np
import pytest

from tests.host_plugin_ofx import mlt_host
from tests.host_plugin_ofx.mlt_run import Mlt
from tests.host_plugin_ofx.scene import LARGEST, Scene, codes, unit

pytestmark = pytest.mark.slow

FRAMES = 4


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
