"""The whole way through the command line, with the real detector and a model of a few steps."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facegraft.faces.align import warp_image
from facegraft.faces.faceset import Faceset
from facegraft.inference import SwapModel
from facegraft.media.open import open_source
from facegraft.model_spec import FaceType
from tests.synthetic import make_clip
from tests.weights_fixture import needs_weights, portrait

pytestmark = [pytest.mark.slow, needs_weights]
FRAMES = 6
TINY = ["--architecture", "df-ud", "--resolution", "64", "--face-type", "full"]
TINY += ["--ae-dims", "32", "--e-dims", "16", "--d-dims", "16", "--d-mask-dims", "16"]


def facegraft(*args: str | Path) -> str:
    """Run the command as a user would; its standard output."""
    command = [sys.executable, "-c", "from facegraft_cli.main import main; main()", *map(str, args)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr
    return result.stdout


def panned_clip(path: Path, empty_last: bool = False) -> Path:
    """The public-domain portrait, drifting by a few pixels a frame; the last frame may be blank."""
    picture = portrait()
    frames = []
    for n in range(FRAMES):
        shift = np.array([[0.75, 0, 3.0 * n - 20], [0, 0.75, 2.0 * n]])
        frames.append(warp_image(picture, shift, 320, 256))
    if empty_last:
        frames[-1] = np.full_like(frames[-1], 40)
    make_clip(path, frames, codec="ffv1", pix_fmt="bgr0")
    return path


def test_clips_to_swap_on_the_command_line(tmp_path: Path) -> None:
    src = panned_clip(tmp_path / "src.mkv")
    dst = panned_clip(tmp_path / "dst.mkv", empty_last=True)
    facegraft("extract", src, tmp_path / "src_faces", "--image-size", "128")
    said = facegraft("extract", dst, tmp_path / "dst_faces", "--image-size", "128")
    assert "1 frames without a face: 000005" in said
    assert len(Faceset.open(tmp_path / "dst_faces")) == FRAMES - 1

    run, model = tmp_path / "run", tmp_path / "model.dfm"
    facegraft(
        "train", tmp_path / "src_faces", tmp_path / "dst_faces", run, *TINY,
        "--batch-size", "2", "--target-iterations", "3",
    )  # fmt: skip
    assert (run / "preview.png").exists() and (run / "loss.png").exists()
    said = facegraft("export", run, model, "--name", "portrait", "--consent", "own work")
    difference = re.findall(r"differs from the network by at most (\S+)", said)
    assert len(difference) == 1 and float(difference[0]) < 1e-3
    opened = SwapModel.open(model)
    assert opened.spec is not None and opened.spec.face_type is FaceType.FULL
    assert opened.record is not None and opened.record.consent == "own work"

    params = tmp_path / "params.json"
    keys = {"keys": [[0, 0.0, "hold"], [1, 1.0, "hold"]]}
    params.write_text(json.dumps({"version": 1, "params": {"mix": keys, "mask_mode": "hull"}}))
    facegraft(
        "merge", dst, tmp_path / "out", "--model", model, "--faces", tmp_path / "dst_faces",
        "--matte", tmp_path / "matte", "--params", params,
    )  # fmt: skip
    with (
        open_source(dst) as before,
        open_source(tmp_path / "out") as after,
        open_source(tmp_path / "matte") as mattes,
    ):
        triples = list(zip(before, after, mattes, strict=True))
    assert len(triples) == FRAMES
    changed = [bool((a.pixels != b.pixels).any()) for b, a, _ in triples]
    # mix 0 on the first frame, no face on the last: both are the source, bit by bit
    assert changed == [False] + [True] * (FRAMES - 2) + [False]
    for source, result, matte in triples:
        outside = matte.pixels[..., 0] == 0
        np.testing.assert_array_equal(result.pixels[outside], source.pixels[outside])
    assert not triples[-1][2].pixels.any() and triples[2][2].pixels.max() > 200
