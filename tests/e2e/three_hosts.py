"""One shot with Blender's keyframes through Blender, the command line, and MLT's OpenFX host.

Each renders the same plates (PNG) with the same model and faceset. Blender's node has the
keyframes; the add-on exports them; `facegraft merge --params` reads that file, and MLT gets what
`facegraft ofx keys` makes of it. Blender's scene is what its own button for a clip sets up: view
transform Standard, no look, so that the plates' sRGB comes back out as it went in; and no dither,
which would add noise of half a code.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from click.testing import CliRunner

from facegraft.merge.animation import load_animation
from facegraft_cli.main import cli
from facegraft_cli.ofx_keys import faceset_properties, properties
from tests.host_plugin.shots import Shot
from tests.host_plugin_ofx.mlt_run import Mlt

Pictures = list[np.ndarray]  # (H, W, 3) uint8 or uint16 RGB, a frame each
HOSTS = ("Blender", "command line", "MLT")


def render_everywhere(
    shot: Shot, blender: Callable[..., Any], mlt: Mlt, node: Mapping[str, Any], edits: Sequence[str]
) -> dict[str, Pictures]:
    """The shot's frames by host. node: params and keys of Blender's node; edits: of its curves.

    blender: runs a command of in_blender.py, as the fixture of that name does.
    """
    height, width = shot.frames[0].shape[:2]
    depth = "16" if shot.frames[0].dtype == np.uint16 else "8"
    keys = shot.folder / "keys.json"
    request = shot.request(
        [{"name": "FG", **node}], edits=list(edits), json=str(keys), format="PNG", depth=depth,
        size=[width, height],
    )  # fmt: skip
    exported = blender("keyframes", **request)
    assert exported.answer.get("result") == ["FINISHED"], exported.log
    rendered = blender("render", blend=request["blend"], output=request["output"])
    assert rendered.exit_code == 0, rendered.log
    return {
        "Blender": [read_png(path) for path in sorted(shot.folder.glob("out_*.png"))],
        "command line": by_command_line(shot, keys),
        "MLT": by_mlt(shot, mlt, keys),
    }


def by_command_line(shot: Shot, keys: Path) -> Pictures:
    out = shot.folder / "command line"
    arguments = ["merge", shot.folder / "src_####.png", out, "--model", shot.model]
    arguments += ["--faces", shot.faces, "--params", keys]
    result = CliRunner().invoke(cli, [str(part) for part in arguments])
    assert result.exit_code == 0, result.output
    return [read_png(path) for path in sorted(out.glob("*.png"))]


def by_mlt(shot: Shot, mlt: Mlt, keys: Path, first: int = 0, **environment: str) -> Pictures:
    """The frames from `first` on, where the filter begins."""
    opaque = np.iinfo(shot.frames[0].dtype).max
    frames = [np.dstack([f, np.full(f.shape[:2], opaque, f.dtype)]) for f in shot.frames]
    values = {"model": str(shot.model), **faceset_properties(shot.faces, first)}
    values |= properties(load_animation(keys), first)
    pixels, _ = mlt.run(frames[first:], values, **environment)
    return list(pixels[..., :3])


def read_png(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image[..., ::-1]


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(H, W) the largest over the channels, in codes."""
    return np.abs(one.astype(int) - other.astype(int)).max(axis=2)
