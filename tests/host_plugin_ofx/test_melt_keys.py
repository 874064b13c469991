"""What `facegraft ofx keys` prints, in `melt` itself."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from facegraft.media.open import open_source
from facegraft_cli.main import cli
from tests.host_plugin_ofx import mlt_host
from tests.host_plugin_ofx.face_clip import FRAMES, FaceClip
from tests.host_plugin_ofx.melt_run import Melt, filtered

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def melt(tmp_path_factory, compiler, bundle) -> Melt:
    try:
        return Melt(tmp_path_factory.mktemp("melt"), compiler, bundle)
    except mlt_host.Unavailable as error:
        pytest.skip(f"no melt with OpenFX: {error}")


def test_melt_takes_the_printed_keys_by_argument_and_in_a_project(
    melt: Melt, face_clip: FaceClip, tmp_path: Path
):
    """As it takes the same keys written by hand."""
    mix = [[0, 0.0], [FRAMES - 1, 1.0]]
    params = {"mix": {"keys": mix}, "mode": {"keys": [[0, "overlay"], [4, "raw_rgb"]]}}
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"version": 2, "params": params}))
    by_hand = filtered(
        **face_clip.scene.values(mix=f"0=0;{FRAMES - 1}=1", mode="0|=overlay;4|=raw_rgb")
    )
    scene = face_clip.scene
    command = ["ofx", "keys", str(keys), "--model", str(scene.model), "--faces", str(scene.faceset)]
    printed = CliRunner().invoke(cli, command).output
    project = tmp_path / "shot.mlt"
    element = CliRunner().invoke(cli, [*command, "--xml"]).output
    project.write_text(
        f'<mlt><producer id="shot"><property name="resource">{face_clip.movie}</property>'
        f"{element}</producer></mlt>"
    )
    expected = movie_of(melt, face_clip, tmp_path / "hand.mp4", face_clip.movie, *by_hand)
    given = shlex.split(printed)
    found = movie_of(melt, face_clip, tmp_path / "args.mp4", face_clip.movie, *given)
    assert np.array_equal(found, expected)
    found = movie_of(melt, face_clip, tmp_path / "project.mp4", project)
    assert np.array_equal(found, expected)


def movie_of(melt: Melt, clip: FaceClip, out: Path, *arguments: object) -> np.ndarray:
    """(N, H, W, 3) uint8 RGB that melt makes, which has nothing to complain about."""
    assert not melt.render(clip.size, out, *arguments)
    with open_source(out) as source:
        return np.stack([frame.image_u8 for frame in source])
